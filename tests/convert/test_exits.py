"""ExitGating: who leaves where, what that costs, and what learns from it."""

import copy
import io
from collections import OrderedDict
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import sluicegate as sg
from sluicegate.convert import exit_classifier
from sluicegate.gates import on_minus_off
from sluicegate.nets import build_net
from sluicegate.nets.cifar_resnet import CifarResNet

SMALL = partial(exit_classifier, hidden=8)
CHANNELS = sg.ChannelGating(initial_open_rate=0.5)
EXITS = sg.ExitGating(classifier=SMALL, initial_open_rate=0.5)


def _gated(exits: sg.ExitGating = EXITS, channels: bool = False) -> sg.GatedModel:
    torch.manual_seed(0)
    return sg.gate_model(build_net("resnet8"), [CHANNELS, exits] if channels else exits, torch.zeros(1, 3, 32, 32))


def _exit_of_each(gates: sg.GateRecords) -> list[int]:
    """The number of the first closed exit, or -1."""
    opens = torch.cat([record.open for record in gates.of_kind("exit").values()], dim=1)  # [N, exits]
    return [next((e for e, is_open in enumerate(row) if not is_open), -1) for row in opens.tolist()]


@pytest.mark.cases(2)
@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("net", ["resnet8", "preact_resnet11", "torchvision:densenet121", "torchvision:mobilenet_v2"])
def test_always_on_is_the_plain_network_bit_by_bit(net: str, channels: bool) -> None:
    torch.manual_seed(0)
    plain, images = build_net(net), torch.randn(2, 3, 64, 64)
    gating = [sg.ChannelGating("all"), EXITS] if channels else EXITS
    gated = sg.gate_model(plain, gating, images[:1])
    gated.strategy = sg.AlwaysOn()
    for training in (True, False):
        torch.manual_seed(1)
        expected = copy.deepcopy(plain).train(training)(images)
        torch.manual_seed(1)
        output, gates = gated.train(training)(images, return_gates=True)
        assert torch.equal(output, expected)
        assert all((record.open == 1).all() for record in gates.values())
        gated.load_state_dict({f"network.{k}": v for k, v in plain.state_dict().items()}, strict=False)


def _by_exit(gated: sg.GatedModel, images: Tensor) -> list[Tensor]:
    """What each exit says, and last the network itself: [N, K] each, by hooks on the gated network's own modules."""
    said: list[Any] = []
    ends = [name for name, m in gated.network.named_modules() if isinstance(m, nn.Linear) and "gates" not in name]
    hooks = [
        gated.network.get_submodule(name).register_forward_hook(lambda module, x, y: said.append(y)) for name in ends
    ]
    gated(images)
    for hook in hooks:
        hook.remove()
    return said


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("channels", [False, True])
def test_the_first_closed_exit_speaks(channels: bool, training: bool) -> None:
    gated = _gated(channels=channels).train(training)
    gated.strategy = sg.Stochastic()
    images = torch.randn(32, 3, 32, 32)
    torch.manual_seed(1)
    said = _by_exit(gated, images)
    torch.manual_seed(1)
    output, gates = gated(images, return_gates=True)
    exits = _exit_of_each(gates)
    assert set(exits) == {0, 1, -1} and len(said) == 3
    assert all(torch.equal(output[i], said[e][i]) for i, e in enumerate(exits))


def test_soft_decisions_mix_what_exits_say() -> None:
    gated = _gated(sg.ExitGating(estimator=sg.GumbelSoftmax(hard=False), classifier=SMALL, initial_open_rate=0.5))
    images = torch.randn(8, 3, 32, 32)
    torch.manual_seed(1)
    first, second, own = _by_exit(gated, images)
    torch.manual_seed(1)
    output, gates = gated(images, return_gates=True)
    z, w = (record.open for record in gates.values())
    torch.testing.assert_close(output, (1 - z) * first + z * (1 - w) * second + z * w * own)


def test_everything_learns_from_the_task_alone() -> None:
    gated = _gated(channels=True)
    gated(torch.randn(32, 3, 32, 32)).square().sum().backward()
    without = [name for name, p in gated.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert not without
    trained = {id(p) for p in gated.network_parameters()}
    assert all(id(p) in trained for p in gated.network.get_submodule("exits").parameters())


def test_an_exit_s_gradient_is_what_going_on_changes() -> None:
    gated = _gated()
    images = torch.randn(16, 3, 32, 32)
    torch.manual_seed(1)
    said = [y.detach() for y in _by_exit(gated, images)]
    torch.manual_seed(1)
    output, gates = gated(images, return_gates=True)
    first, second = (record.open for record in gates.values())
    slopes = torch.autograd.grad(output[:, 0].sum(), [first, second])
    later = (1 - second.detach()) * said[1] + second.detach() * said[2]
    torch.testing.assert_close(slopes[0][:, 0], (later - said[0])[:, 0])
    torch.testing.assert_close(slopes[1][:, 0], (first.detach() * (said[2] - said[1]))[:, 0])


@pytest.mark.parametrize("head", ["pooled", "conv"])
def test_macs_are_those_of_the_network_cut_off_at_the_exit(head: str) -> None:
    """PyTorch counts the multiplies of what is run by hand for an image: the stages, the gates that it comes to, and
    the classifier of the exit that it takes."""
    exits = sg.ExitGating(
        estimator=sg.BinConcrete(),
        head="conv" if head == "conv" else sg.PooledHead,
        classifier=SMALL,
        initial_open_rate=0.5,
    )
    gated = _gated(exits).eval()
    gated.strategy = sg.Stochastic()
    plain = build_net("resnet8").eval()
    assert isinstance(plain, CifarResNet)
    images = torch.randn(12, 3, 32, 32)
    with torch.no_grad():
        gates = gated(images, return_gates=True).gates
    places = _exit_of_each(gates)
    assert set(places) == {0, 1, -1}
    macs = gated.macs(gates)
    assert macs.dtype == torch.int64
    pools = head == "pooled"
    assert macs.tolist() == [_counted(plain, gated, images[i : i + 1], e, pools) for i, e in enumerate(places)]
    assert gated.macs.dense == sg.MacModel(plain, images[:1]).dense


def _counted(plain: CifarResNet, gated: sg.GatedModel, image: Tensor, place: int, pools: bool) -> int:
    pooled = 0
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        x = plain.relu(plain.bn1(plain.conv1(image)))
        for e, stage in enumerate((plain.layer1, plain.layer2)):
            x = stage(x)
            gated.gates[f"layer{e + 1}_exit"].head(x)
            pooled += x.numel() if pools else 0
            if e == place:
                gated.network.get_submodule("exits").get_submodule(f"layer{e + 1}")(x)
                return counter.get_total_flops() // 2 + pooled
        plain.linear(plain.layer3(x).mean((2, 3)))
        return counter.get_total_flops() // 2 + pooled


def test_macs_are_differentiable_in_the_exits() -> None:
    gated = _gated()
    gates = gated(torch.randn(16, 3, 32, 32), return_gates=True).gates
    slopes = torch.autograd.grad(gated.macs(gates).sum(), [record.open for record in gates.values()])
    parts = gated.macs.by_module().items()
    classifier = sum(macs for name, (kind, macs) in parts if name.startswith("exits.layer2") and kind == "exit")
    behind = sum(macs for name, (kind, macs) in parts if name.startswith("layer3") and kind == "conv") + 64 * 10
    first = gates["layer1.exit"].open.detach()
    torch.testing.assert_close(slopes[1], first * (behind - classifier))


def test_exits_train_towards_their_rates() -> None:
    gated = _gated(sg.ExitGating(head=sg.LearnedLogits, classifier=SMALL, initial_open_rate=0.95))
    target = sg.ExitTarget({"layer1.exit": 0.3, "layer2.exit": 0.4}, free=None)
    optimizer = torch.optim.Adam(gated.gate_parameters(), lr=0.1)
    images = torch.randn(256, 3, 8, 8)
    gates_of = list(gated.gates.values())
    for _ in range(200):
        optimizer.zero_grad()
        decisions = [gate(on_minus_off(gate.head(images)[0]))[0] for gate in gates_of]  # they look at nothing
        records = sg.GateRecords(
            {g.sites[0].name: sg.GateRecord(g.sites[0], *d[:2]) for g, d in zip(gates_of, decisions, strict=True)}
        )
        target(records, 0.0).backward()
        optimizer.step()
    first, second = (d.logits[0].sigmoid().item() for d in decisions)
    assert first == pytest.approx(0.7, abs=0.06) and first * (1 - second) == pytest.approx(0.4, abs=0.06)


def test_gates_and_classifiers_learn_who_may_leave() -> None:
    """Bright images and dark ones: the loss falls while half of them leave early, as they are asked to."""
    torch.manual_seed(0)
    gated = sg.gate_model(build_net("resnet8", width=0.5), EXITS, torch.zeros(1, 3, 16, 16))
    target = sg.ExitTarget({"layer1.exit": 0.5})
    labels = torch.arange(64) % 2
    images = 0.3 * torch.randn(64, 3, 16, 16) + labels.float()[:, None, None, None]
    optimizer = torch.optim.SGD(gated.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(30):
        output, gates = gated(images, return_gates=True)
        loss = nn.functional.cross_entropy(output, labels)
        optimizer.zero_grad()
        (loss + target(gates, 0.0)).backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 < losses[0]
    assert gates["layer1.exit"].open.mean() < 0.6


def test_state_copies_and_pickles() -> None:
    gated = _gated(channels=True).eval()
    gated.strategy = sg.Threshold(0.49)
    other = _gated(channels=True).eval()
    for parameter in other.parameters():
        parameter.data.add_(0.1)
    other.load_state_dict(gated.state_dict())
    other.strategy = gated.strategy
    file = io.BytesIO()
    torch.save(gated, file)
    file.seek(0)
    images = torch.randn(8, 3, 32, 32)
    for twin in (other, copy.deepcopy(gated), torch.load(file, weights_only=False)):
        output, gates = twin(images, return_gates=True)
        assert torch.equal(output, gated(images))
        assert torch.equal(twin.macs(gates), gated.macs(gated(images, return_gates=True).gates))


def test_the_fused_run_is_that_of_the_graph() -> None:
    gated = _gated(channels=True).double()
    images = torch.randn(8, 3, 32, 32).double()
    results = []
    for run in (gated._run, gated.network):
        gated.zero_grad()
        torch.manual_seed(1)
        output, _ = run(images)
        output.square().sum().backward()
        results.append([output, *(p.grad.clone() for p in gated.parameters() if p.grad is not None)])
    for mine, wanted in zip(*results, strict=True):
        torch.testing.assert_close(mine, wanted)


@pytest.mark.broad
def test_it_compiles_as_one_graph() -> None:
    gated = _gated().eval()
    compiled = torch.compile(gated, backend="aot_eager", fullgraph=True)
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(compiled(images), gated(images))


@pytest.mark.parametrize("batch", [0, 1, 5])
def test_any_number_of_images(batch: int) -> None:
    gated = _gated().eval()
    output, gates = gated(torch.randn(batch, 3, 32, 32), return_gates=True)
    assert output.shape == (batch, 10) and gated.macs(gates).shape == (batch,)


def test_records_of_who_has_left() -> None:
    gated = _gated(channels=True)
    gates = gated(torch.randn(32, 3, 32, 32), return_gates=True).gates
    reached, places = gates.reached(), torch.tensor(_exit_of_each(gates))
    for e, name in enumerate(("layer1.exit", "layer2.exit")):
        comes = (places == -1) | (places >= e)
        assert torch.equal(comes & (reached[name].open[:, 0] == 0), places == e)
    behind = {"layer1.0.conv1": (), "layer2.0.conv1": (0,), "layer3.0.conv1": (0, 1)}
    for name, exits in behind.items():
        left = torch.isin(places, torch.tensor(exits))[:, None]
        assert torch.equal(reached[name].open, gates[name].open.masked_fill(left, 0))


def test_names_and_order() -> None:
    gated = _gated(channels=True)
    names = ["layer1.0.conv1", "layer1.exit", "layer2.0.conv1", "layer2.exit", "layer3.0.conv1"]
    assert list(gated.sites) == names == list(gated(torch.zeros(2, 3, 32, 32), return_gates=True).gates)
    densenet = build_net("torchvision:densenet121")
    gated = sg.gate_model(densenet, EXITS, torch.zeros(1, 3, 64, 64))
    assert list(gated.sites) == [f"features.denseblock{i}.exit" for i in (1, 2, 3)], "the paper's places"


class Pair(nn.Module):
    """Returns two tensors."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


@pytest.mark.parametrize(
    ("gating", "message"),
    [
        (sg.ExitGating("layer9"), "at: 'layer9' is not a module of the network"),
        (sg.ExitGating("layer2.0.conv1"), "at: 'layer2.0.conv1' is no place for an exit: .* no path may bypass it"),
        (sg.ExitGating("linear"), "at: 'linear' is no place for an exit: it must make"),
        (sg.ExitGating("avgpool", head="conv"), "no place|pool: 4"),
        (sg.ExitGating(["layer1", "layer1"]), "gating: it puts gates at 'layer1.exit' twice"),
        (sg.ExitGating(initial_open_rate=1.0), "initial_open_rate: 1.0 must lie between 0 and 1"),
        (sg.ExitGating(classifier=lambda c, k: exit_classifier(c, k + 1)), r"classifier: Sequential makes \(N, 11\)"),
        (sg.ExitGating(classifier=lambda c, k: exit_classifier(c + 1, k)), "classifier: none at 'layer1', "),
        ([], "gating: it is empty"),
        ([sg.ChannelGating(), sg.ChannelGating()], "gating: it puts gates at 'layer1.0.conv1' twice"),
    ],
)
def test_refusals(gating, message: str) -> None:
    with pytest.raises(sg.InputError, match=message) as error:
        sg.gate_model(build_net("resnet8"), gating, torch.zeros(1, 3, 32, 32))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("net", "gating", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)), EXITS, "at: 'stages' finds no place"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), EXITS, r"net: it returns shape \(N, 4, 6, 6\); exits are for"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), Pair()), EXITS, "net: it returns "),
        (nn.Sequential(OrderedDict(exits=nn.Conv2d(3, 4, 3))), EXITS, "net: it has an attribute `exits`"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.ReLU(), nn.Conv2d(4, 4, 2), nn.Flatten(), nn.Linear(4, 2)),
            sg.ExitGating(head="conv"),
            r"pool: 4 is not in 1\.\.2, the smaller side",
        ),
    ],
)
def test_networks_without_a_place(net: nn.Module, gating: sg.ExitGating, message: str) -> None:
    with pytest.raises(sg.InputError, match=message) as error:
        sg.gate_model(net, gating, torch.zeros(1, 3, 8, 8))
    assert "\n" not in str(error.value)
