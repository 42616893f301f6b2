import pytest
import torch

from sluicegate.convert import ChannelGating, GatedModel, JointGating, LayerGating, gate_model
from sluicegate.data import Normalize, load
from sluicegate.errors import InputError
from sluicegate.gates import AlwaysOn, Ensemble, Stochastic, Threshold
from sluicegate.nets import build_net
from sluicegate.train import Evaluation, MacStatistics, evaluate, spread


@pytest.fixture(scope="module")
def images():
    return load("digits", "test", limit=50)


@pytest.fixture
def gated(images) -> GatedModel:
    torch.manual_seed(0)
    net = build_net("resnet8", in_channels=1, width=0.25)
    return gate_model(net, JointGating(initial_open_rate=0.5), torch.zeros(1, 1, 32, 32))


def by_hand(gated, images):
    gated.eval()
    with torch.no_grad():
        return gated(Normalize(images.mean, images.std)(images.images), return_gates=True)


def test_every_number_is_that_of_one_forward_pass(gated, images):
    measured = evaluate(gated, images, batch_size=7)
    output, gates = by_hand(gated, images)
    macs = gated.macs(gates).double()
    assert measured.images == 50
    assert measured.accuracy == pytest.approx((output.argmax(1) == images.labels).double().mean().item())
    assert measured.macs.dense == gated.macs.dense
    assert (measured.macs.min, measured.macs.max) == (macs.min().item(), macs.max().item())
    assert measured.macs.mean == pytest.approx(macs.mean().item(), rel=1e-12)
    assert measured.macs.std == pytest.approx(macs.std(correction=0).item(), rel=1e-9)
    assert measured.sites == pytest.approx({name: record.open.mean().item() for name, record in gates.items()})
    for kind in ("layer", "channel"):
        rate = torch.cat([record.open for record in gates.of_kind(kind).values()], 1).mean().item()
        assert measured.open_rate[kind] == pytest.approx(rate)


def test_rates_are_those_of_their_own_sites(images):
    net = build_net("resnet8", in_channels=1, width=0.25)
    gated = gate_model(net, ChannelGating(["inp", "mid", "out"], initial_open_rate=0.5), torch.zeros(1, 1, 32, 32))
    measured = evaluate(gated, images)
    _, gates = by_hand(gated, images)
    assert measured.sites == pytest.approx({name: record.open.mean().item() for name, record in gates.items()})


def test_one_image_is_measured_too(gated, images):
    one = images.subset([7])
    measured, (_, gates) = evaluate(gated, one), by_hand(gated, one)
    assert measured.images == 1 and measured.macs.std == 0
    assert measured.macs.mean == gated.macs(gates).item()
    assert measured.sites == pytest.approx({name: record.open.mean().item() for name, record in gates.items()})


def test_the_gates_of_a_single_site_are_measured_too(images):
    torch.manual_seed(0)

    class OneBlock(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = (torch.nn.Conv2d(1, 1, 3, padding=1) for _ in range(2))
            self.last = torch.nn.Linear(1, 10)

        def forward(self, x):
            return self.last((x + self.second(self.first(x).relu())).mean((2, 3)))

    gated = gate_model(OneBlock(), LayerGating(initial_open_rate=0.5), torch.zeros(1, 1, 32, 32))
    measured, (_, gates) = evaluate(gated, images), by_hand(gated, images)
    (record,) = gates.values()
    assert list(measured.sites.values()) == [pytest.approx(record.open.mean().item())]


def test_gates_differ_between_images_in_this_test(gated, images):
    measured = evaluate(gated, images)
    assert measured.macs.min < measured.macs.mean < measured.macs.max


def test_a_plain_network_costs_its_dense_macs(images):
    net = build_net("resnet8", in_channels=1, width=0.25)
    measured = evaluate(net, images)
    assert measured.macs.min == measured.macs.max == measured.macs.mean == measured.macs.dense > 0
    assert measured.open_rate == measured.sites == {}


def test_strategies_are_kept(gated, images):
    gated.strategy = AlwaysOn()
    assert set(evaluate(gated, images).sites.values()) == {1.0}
    gated.strategy = Threshold(0.999)
    assert evaluate(gated, images).open_rate["layer"] == 0
    gated.strategy = Stochastic()
    torch.manual_seed(0)
    assert 0 < evaluate(gated, images).open_rate["layer"] < 1


def test_normalisation_can_be_given(gated, images):
    own, other = evaluate(gated, images), evaluate(gated, images, normalize=((0.0,), (0.01,)))
    assert own.macs != other.macs
    assert evaluate(gated, images, normalize=(images.mean, images.std)) == own


def test_an_ensemble_is_its_stochastic_passes(gated, images):
    gated.strategy = Ensemble(3)
    torch.manual_seed(0)
    measured = evaluate(gated, images, batch_size=50)
    torch.manual_seed(0)
    passes = [by_hand(gated, images) for _ in range(3)]
    macs = torch.stack([gated.macs(gates) for _, gates in passes]).sum(0)
    probability = torch.stack([output.softmax(1) for output, _ in passes]).mean(0)
    assert (measured.macs.min, measured.macs.max) == (macs.min().item(), macs.max().item())
    assert measured.macs.mean == pytest.approx(macs.double().mean().item(), rel=1e-12)
    assert measured.accuracy == pytest.approx((probability.argmax(1) == images.labels).double().mean().item())
    for name, rate in measured.sites.items():
        assert rate == pytest.approx(sum(gates[name].open.mean().item() for _, gates in passes) / 3)


def test_an_ensemble_adds_up_the_macs_of_its_passes(gated, images) -> None:
    gated.strategy = Stochastic()
    once = [evaluate(gated, images) for _ in range(16)]
    gated.strategy = Ensemble(16)
    together = evaluate(gated, images)
    assert together.macs.mean == pytest.approx(sum(one.macs.mean for one in once), rel=0.1)
    for kind, rate in together.open_rate.items():
        assert rate == pytest.approx(sum(one.open_rate[kind] for one in once) / 16, abs=0.1)


def test_repeats_have_a_mean_and_a_spread() -> None:
    runs = [Evaluation(0.5 + i / 10, 9, MacStatistics(9, 3.0 * i, 0, 9, 1.0), {}, {}) for i in range(3)]
    found = spread(runs)
    assert found["macs"] == {"mean": 3.0, "std": 3.0, "repeats": 3}
    assert found["accuracy"] == pytest.approx({"mean": 0.6, "std": 0.1, "repeats": 3})
    assert spread(runs[:1])["macs"] == {"mean": 0.0, "std": 0.0, "repeats": 1}


@pytest.mark.parametrize("device", ["abacus", "cuda:97"])
def test_a_device_that_is_not_there_is_refused(gated, images, device):
    with pytest.raises(InputError, match=f"device: '{device}' cannot be used here: "):
        evaluate(gated, images, device=device)
