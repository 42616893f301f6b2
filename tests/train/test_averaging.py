import pytest
import torch
from torch import nn

from sluicegate.errors import InputError
from sluicegate.train.averaging import WeightAverage


def stepped(net, value):
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.fill_(value)


def test_the_average_forgets_at_its_decay_and_faster_at_first():
    net = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))
    stepped(net, 0)
    average, wanted = WeightAverage(net, 0.5), 0.0
    for n in range(12):
        stepped(net, n + 1)
        average.update(net)
        decay = min(0.5, (1 + n) / (10 + n))
        wanted = decay * wanted + (1 - decay) * (n + 1)
    for name, tensor in average.state.items():
        expected = 12 if name.endswith("num_batches_tracked") else wanted
        assert tensor.flatten()[0].item() == pytest.approx(expected), name


def test_a_network_has_the_average_for_as_long_as_asked():
    net = nn.Linear(2, 2)
    stepped(net, 1)
    average = WeightAverage(net, 0.9)
    stepped(net, 5)
    with average.inside(net):
        assert net.weight.eq(1).all()
    assert net.weight.eq(5).all()
    average.copy_to(net)
    assert net.weight.eq(1).all()


def test_a_checkpoint_goes_on_where_it_was():
    net = nn.Linear(2, 2)
    first = WeightAverage(net, 0.9)
    for value in (1, 2):
        stepped(net, value)
        first.update(net)
    second = WeightAverage(net, 0.9)
    second.load_state_dict(first.state_dict())
    stepped(net, 3)
    for average in (first, second):
        average.update(net)
    assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)


@pytest.mark.parametrize("decay", [0.0, 1.0, float("nan")])
def test_a_decay_outside_its_range_is_refused(decay):
    with pytest.raises(InputError, match=f"decay: {decay}"):
        WeightAverage(nn.Linear(1, 1), decay)
