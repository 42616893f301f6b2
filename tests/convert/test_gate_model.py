"""gate_model: what it leaves as it was, what it adds, and what it refuses."""

import copy

import pytest
import timm
import torch
import torchvision
from random_nets import Residual
from torch import nn

import sluicegate as sg
from sluicegate.convert import Gating
from sluicegate.nets import build_net

NETS = {
    "resnet18": (torchvision.models.resnet18, 64),
    "resnet34": (torchvision.models.resnet34, 64),
    "resnet50": (torchvision.models.resnet50, 64),
    "resnet101": (torchvision.models.resnet101, 64),
    "wide_resnet50_2": (torchvision.models.wide_resnet50_2, 64),
    "timm-resnet18": (lambda: timm.create_model("resnet18"), 64),
    "timm-resnet50d": (lambda: timm.create_model("resnet50d"), 64),
    "timm-resnet33ts": (lambda: timm.create_model("resnet33ts"), 64),
    "timm-resnetv2_50": (lambda: timm.create_model("resnetv2_50"), 64),
    "timm-resnetrs50": (lambda: timm.create_model("resnetrs50"), 64),
    "cifar-8": (lambda: build_net("resnet8"), 32),
    "cifar-56": (lambda: build_net("resnet56"), 32),
    "cifar-110-B": (lambda: build_net("resnet110", shortcut="B"), 32),
    "cifar-20-wide": (lambda: build_net("resnet20", width=4), 32),
    "preact-164": (lambda: build_net("preact_resnet164"), 32),
}
GATINGS = {
    "channel": sg.ChannelGating(),
    "everywhere": sg.ChannelGating(at=["inp", "all", "out"]),
    "layer": sg.LayerGating(),
    "locked": sg.SharedGating(sg.ChannelGating(at=["inp", "mid", "out"])),
    "joint": sg.JointGating(sg.ChannelGating(at=["inp", "mid", "out"])),
}


def _check_all_open_equals_plain(net: nn.Module, size: int, gating: Gating) -> None:
    images = torch.randn(2, 3, size, size)
    gated = sg.gate_model(net, gating, images[:1])
    gated.strategy = sg.AlwaysOn()
    for training in (True, False):
        plain = copy.deepcopy(net).train(training)
        gated.train(training)
        torch.manual_seed(1)  # dropout and stochastic depth draw alike
        expected = plain(images)
        torch.manual_seed(1)
        output, gates = gated(images, return_gates=True)
        assert torch.equal(output, expected)
        assert all(record.open.min() == 1 for record in gates.values())
        gated.load_state_dict({f"network.{k}": v for k, v in net.state_dict().items()}, strict=False)


@pytest.mark.cases(2)
@pytest.mark.parametrize("name", NETS)
def test_all_gates_open_is_the_plain_network_bit_by_bit(name: str) -> None:
    build, size = NETS[name]
    torch.manual_seed(0)
    _check_all_open_equals_plain(build(), size, sg.JointGating())


@pytest.mark.parametrize("gating", GATINGS)
def test_every_gating_opens_to_the_plain_network(gating: str) -> None:
    torch.manual_seed(0)
    _check_all_open_equals_plain(build_net("resnet8"), 32, GATINGS[gating])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [n for n in timm.list_models("resnet*") if not any(big in n for big in ("x4", "x16", "x64", "x3", "x2"))],
)
def test_timm_resnets(name: str) -> None:
    """All but those whose attention pool branches on sizes (fx cannot look inside) and those of group norm (no such
    gate)."""
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=10)
    try:
        _check_all_open_equals_plain(net, 96, sg.ChannelGating())
    except sg.InputError as error:
        group_normed = any(isinstance(m, nn.GroupNorm) for m in net.modules()) or name.endswith(("_evos", "_frn"))
        assert "cannot be traced" in str(error) if name.endswith("_clip") else group_normed


def test_the_given_network_is_not_touched() -> None:
    net = build_net("resnet8")
    before = copy.deepcopy(net.state_dict())
    gated = sg.gate_model(net, sg.JointGating(), torch.zeros(1, 3, 32, 32))
    for parameter in gated.parameters():
        parameter.data.add_(1)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_plain_modules_keep_their_names_and_gates_stand_apart() -> None:
    net = build_net("resnet8")
    gated = sg.gate_model(net, sg.JointGating(), torch.zeros(1, 3, 32, 32))
    names = dict(gated.named_parameters())
    plain = {n.removeprefix("network.") for n in names if not n.startswith("network.gates.")}
    assert plain == set(dict(net.named_parameters()))
    counts = [sum(1 for _ in ps) for ps in (gated.gate_parameters(), gated.network_parameters(), names)]
    assert counts[0] + counts[1] == counts[2] and counts[0] == 3 * 6


def test_records_are_in_order_of_execution() -> None:
    gated = sg.gate_model(build_net("resnet8"), sg.JointGating(), torch.zeros(1, 3, 32, 32))
    _, gates = gated(torch.randn(2, 3, 32, 32), return_gates=True)
    names = ["layer1.0", "layer1.0.conv1", "layer2.0", "layer2.0.conv1", "layer3.0", "layer3.0.conv1"]
    assert list(gates) == list(gated.sites) == names
    assert list(gates.of_kind("layer")) == names[::2]


@pytest.mark.cases(2)
@pytest.mark.parametrize("gating", GATINGS)
def test_sites_are_listed_as_their_records_come(gating: str) -> None:
    """Those that tally records by their place ask `sites` whose they are."""
    gated = sg.gate_model(build_net("resnet14"), GATINGS[gating], torch.zeros(1, 3, 32, 32))
    _, gates = gated(torch.zeros(2, 3, 32, 32), return_gates=True)
    assert list(gates) == list(gated.sites)


def test_identical_layers_share_locked_gates() -> None:
    gated = sg.gate_model(build_net("resnet20"), sg.SharedGating(), torch.zeros(1, 3, 32, 32)).eval()
    assert list(gated.sites) == [
        "layer1.0.conv1",
        "layer2.0.conv1",
        "layer2.1.conv1",
        "layer3.0.conv1",
        "layer3.1.conv1",
    ]
    seen: list[torch.Tensor] = []
    for block in ("layer2.1", "layer2.2"):
        module = gated.network.get_submodule(f"{block}.conv2")
        module.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    gated.strategy = sg.Stochastic()
    gated.train()
    _, gates = gated(torch.randn(4, 3, 32, 32), return_gates=True)
    is_open = gates["layer2.1.conv1"].open.detach()
    assert 0 < is_open.mean() < 1 and len(seen) == 2
    assert all((x.abs().sum((2, 3)) > 0).float().equal(is_open) for x in seen)


def test_layers_of_branches_that_differ_are_not_locked() -> None:
    """Two branches of two convolutions, then two of three, all with as many channels and pixels everywhere."""

    def block(convolutions: int) -> Residual:
        layers = [nn.Conv2d(8, 8, 3, padding=1) for _ in range(convolutions)]
        return Residual(nn.Sequential(*layers), nn.Identity())

    net = nn.Sequential(*map(block, (2, 2, 3, 3)), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    gated = sg.gate_model(net, sg.SharedGating(sg.ChannelGating(["mid", "out"])), torch.zeros(1, 8, 4, 4))
    assert sorted(gated.sites) == ["0.body.0", "0.body.1", "2.body.0", "2.body.1", "2.body.2"]


def test_locked_places_may_be_named_in_any_order() -> None:
    locked = sg.SharedGating(sg.ChannelGating(["layer2.2.bn1", "layer2.1.bn1"]))
    gated = sg.gate_model(build_net("resnet20"), locked, torch.zeros(1, 3, 32, 32))
    assert list(gated.sites) == ["layer2.1.conv1"]


def test_closing_a_locked_channel_saves_it_in_every_layer() -> None:
    gated = sg.gate_model(build_net("resnet20"), sg.SharedGating(), torch.zeros(1, 3, 32, 32)).eval()
    _, gates = gated(torch.randn(1, 3, 32, 32), return_gates=True)
    opened = sg.GateRecords({name: r._replace(open=torch.ones_like(r.open)) for name, r in gates.items()})
    one_closed = torch.ones(1, 32).index_fill(1, torch.tensor([5]), 0.0)
    closed = sg.GateRecords(opened | {"layer2.1.conv1": opened["layer2.1.conv1"]._replace(open=one_closed)})
    saved = gated.macs(opened) - gated.macs(closed)
    assert saved.tolist() == [2 * 2 * 32 * 9 * 16 * 16]  # two layers, a filter of conv1 and a slice of conv2 in each


def test_granularity_may_differ_by_site() -> None:
    gating = sg.ChannelGating(granularity={"layer1.0.conv1": 4, "layer3.0.conv1": 16})
    gated = sg.gate_model(build_net("resnet8"), gating, torch.zeros(1, 3, 32, 32))
    assert [site.gates for site in gated.sites.values()] == [4, 32, 4]


def test_gates_learn_from_the_task_alone() -> None:
    torch.manual_seed(0)
    gated = sg.gate_model(build_net("resnet8"), sg.JointGating(initial_open_rate=0.5), torch.zeros(1, 3, 32, 32))
    gated(torch.randn(8, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in gated.gate_parameters())


@pytest.mark.parametrize("strategy", [sg.Threshold(0.5), sg.AlwaysOn()])
def test_evaluation_is_deterministic_and_strategy_is_the_network_s(strategy: sg.Threshold) -> None:
    gated = sg.gate_model(build_net("resnet8"), sg.JointGating(), torch.zeros(1, 3, 32, 32)).eval()
    gated.strategy = strategy
    assert gated.strategy == strategy
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(gated(images), gated(images))


def test_a_higher_threshold_costs_less() -> None:
    gated = sg.gate_model(
        build_net("resnet8"), sg.ChannelGating(initial_open_rate=0.5), torch.zeros(1, 3, 32, 32)
    ).eval()
    images = torch.randn(16, 3, 32, 32)
    means = []
    for tau in (0.45, 0.5, 0.55):
        gated.strategy = sg.Threshold(tau)
        means.append(gated.macs(gated(images, return_gates=True).gates).double().mean().item())
    assert means[0] > means[1] > means[2]


def test_state_survives_saving_and_copying() -> None:
    gated = sg.gate_model(build_net("resnet8"), sg.JointGating(), torch.zeros(1, 3, 32, 32)).eval()
    other = sg.gate_model(build_net("resnet8"), sg.JointGating(), torch.zeros(1, 3, 32, 32)).eval()
    other.load_state_dict(gated.state_dict())
    images = torch.randn(4, 3, 32, 32)
    for twin in (other, copy.deepcopy(gated)):
        assert torch.equal(gated(images), twin(images))


@pytest.mark.broad
def test_it_compiles_as_one_graph() -> None:
    gated = sg.gate_model(build_net("resnet8"), sg.JointGating(), torch.zeros(1, 3, 32, 32)).eval()
    compiled = torch.compile(gated, backend="aot_eager", fullgraph=True)
    images = torch.randn(4, 3, 32, 32)
    expected = gated(images, return_gates=True)
    output, gates = compiled(images, return_gates=True)
    torch.testing.assert_close(output, expected.output)
    assert all(torch.equal(gates[name].open, record.open) for name, record in expected.gates.items())


@pytest.mark.parametrize("batch", [0, 1, 5])
def test_any_number_of_images(batch: int) -> None:
    gated = sg.gate_model(build_net("resnet8"), sg.JointGating(), torch.zeros(1, 3, 32, 32)).eval()
    output, gates = gated(torch.randn(batch, 3, 32, 32), return_gates=True)
    assert output.shape == (batch, 10) and gated.macs(gates).shape == (batch,)


def _refused(net: nn.Module, gating: Gating) -> str:
    with pytest.raises(sg.InputError) as error:
        sg.gate_model(net, gating, torch.zeros(1, 3, 32, 32))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_refusals() -> None:
    net = build_net("resnet8")
    gated = sg.gate_model(net, sg.JointGating(), torch.zeros(1, 3, 32, 32))
    chain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    assert "already has gates" in _refused(gated, sg.ChannelGating())
    assert "granularity: 3 does not divide the 16 channels of 'layer1.0.conv1'" in _refused(
        net, sg.ChannelGating(granularity=3)
    )
    assert "at: 'outside' is not a module of the network" in _refused(net, sg.ChannelGating(at="outside"))
    assert "names the channels of 'layer1.0.conv1' twice" in _refused(net, sg.ChannelGating(at=["mid", "all"]))
    assert "before 'layer1.0.bn1'" in _refused(net, sg.ChannelGating(at=["layer1.0.conv1"]))
    assert "no residual branch" in _refused(chain, sg.LayerGating())
    assert "at: 'mid' finds no place" in _refused(chain, sg.ChannelGating())


def test_images_of_another_size_are_refused() -> None:
    gated = sg.gate_model(build_net("resnet8"), sg.JointGating(), torch.zeros(1, 3, 32, 32))
    with pytest.raises(sg.InputError, match=r"inputs: shape \(2, 3, 40, 40\) is not \(N, 3, 32, 32\)"):
        gated(torch.zeros(2, 3, 40, 40))
    with pytest.raises(sg.InputError, match="strategy: 'always' must be a Strategy"):
        gated.strategy = "always"  # type: ignore[assignment]
