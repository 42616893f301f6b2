"""Which gates a network can have: what `survey` says is what gates do; `where` and MACs per gate choose among them."""

import pytest
import torch
import torchvision
from random_nets import random_net
from torch import nn

import sluicegate as sg
from sluicegate.nets import build_net

IMAGES = torch.zeros(1, 3, 32, 32)


def test_every_layer_has_a_place_or_a_reason() -> None:
    found = sg.survey(build_net("resnet20"), IMAGES)
    rows = {row.layer: row for row in found.layers}
    assert len(rows) == 20 and sum(row.macs for row in found.layers) == found.macs == 40_551_040
    assert [row.place for row in rows.values()] == ["", *["mid", "out"] * 9, ""]
    assert rows["conv1"].why_not == "a shortcut carries its channels"
    assert rows["linear"].why_not == "the network returns its channels"
    assert rows["layer2.1.conv1"].branch in found.branches and len(found.branches) == 9


@pytest.mark.broad
def test_shares_are_those_of_closed_gates() -> None:
    """All that stays of ResNet-20 is its stem and its classifier: a closed channel is made and read by nobody."""
    found = sg.survey(build_net("resnet20"), IMAGES)
    kept = (442_368 + 640) / found.macs
    assert found.by_channels == pytest.approx(1 - kept)
    assert found.by_layers == pytest.approx(1 - kept)
    chain = sg.survey(torchvision.models.vgg11(), IMAGES)
    assert chain.by_layers == 0 and chain.branches == () and 0.99 < chain.by_channels < 1, "one gate of each stays open"


class Twice(nn.Module):
    """One layer at two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(nn.functional.max_pool2d(self.layer(x).relu(), 2)).mean((2, 3))


def test_each_call_of_a_layer_has_its_own_macs() -> None:
    found = sg.survey(Twice(), IMAGES)
    assert [row.macs for row in found.layers] == [81 * 32 * 32, 81 * 16 * 16]
    assert found.macs == sum(row.macs for row in found.layers)


def test_a_network_without_a_place_is_no_error() -> None:
    found = sg.survey(nn.Sequential(nn.Conv2d(3, 4, 3)), IMAGES)
    assert (found.by_channels, found.by_layers) == (0, 0)
    assert found.layers[0].why_not == "the network returns its channels"


@pytest.mark.broad
@pytest.mark.parametrize("seed", range(6))
def test_what_has_a_place_gets_gates(seed: int) -> None:
    net = random_net(seed)
    images = torch.zeros(1, 3, 16, 16)
    wanted = {row.layer for row in sg.survey(net, images).layers if row.place in ("mid", "all")}
    if wanted:
        sites = sg.gate_model(net, sg.ChannelGating("all"), images).sites
        assert len(sites) <= len(wanted) and set(sites) <= wanted, "parallel paths share gates"


@pytest.mark.parametrize(
    "where", ["layer2.*.conv1", lambda channels: channels.count == 32], ids=["a pattern", "a function"]
)
def test_where_chooses_channels(where) -> None:
    gated = sg.gate_model(build_net("resnet20"), sg.ChannelGating(where=where), IMAGES)
    assert list(gated.sites) == ["layer2.0.conv1", "layer2.1.conv1", "layer2.2.conv1"]


@pytest.mark.parametrize("where", ["layer3.*", lambda branch: branch.name.startswith("layer3")])
def test_where_chooses_layers(where) -> None:
    gated = sg.gate_model(build_net("resnet20"), sg.LayerGating(where=where), IMAGES)
    assert list(gated.sites) == ["layer3.0", "layer3.1", "layer3.2"]


def test_channels_in_a_branch_without_a_layer_gate_keep_theirs() -> None:
    joint = sg.JointGating(layer=sg.LayerGating(where="layer3.*", estimator=sg.BinConcrete()))
    gated = sg.gate_model(build_net("resnet20"), joint, IMAGES)
    kinds = [site.kind for site in gated.sites.values()]
    assert kinds.count("channel") == 9 and kinds.count("layer") == 3


@pytest.mark.parametrize("gating", [sg.ChannelGating(where="layer9.*"), sg.LayerGating(where=lambda branch: False)])
def test_where_must_fit_something(gating) -> None:
    with pytest.raises(sg.InputError, match=r"where: .* fits none of 9 places, of which one is 'layer1\.0"):
        sg.gate_model(build_net("resnet20"), gating, IMAGES)


def test_macs_per_gate() -> None:
    """Channels of ResNet-20 cost 294,912 MACs in the first stage and, planes being smaller, half in the second."""
    gated = sg.gate_model(build_net("resnet20"), sg.ChannelGating(granularity=sg.MacsPerGate(280_000)), IMAGES)
    each = {name: site.channels // site.gates for name, site in gated.sites.items()}
    assert [each[f"layer{stage}.1.conv1"] for stage in (1, 2, 3)] == [1, 2, 4]
    with_one = sg.gate_model(build_net("resnet20"), sg.ChannelGating(granularity=sg.MacsPerGate(1e9)), IMAGES)
    assert all(site.gates == 1 for site in with_one.sites.values())


@pytest.mark.cases(2)
@pytest.mark.parametrize("seed", range(6))
def test_a_gates_macs_are_what_it_saves(seed: int) -> None:
    """By the model: all open but one gate."""
    asked = 1500.0
    net, images = random_net(seed), torch.zeros(1, 3, 16, 16)
    try:
        gated = sg.gate_model(net, sg.ChannelGating(granularity=sg.MacsPerGate(asked), head=sg.LearnedLogits), images)
    except sg.InputError:
        return  # no branch
    gated.strategy = sg.AlwaysOn()
    _, records = gated(images, return_gates=True)
    whole = gated.macs(records).item()
    for name, site in gated.sites.items():
        if site.gates > 1:
            closed = torch.ones(1, site.gates)
            closed[0, 0] = 0
            left = gated.macs(sg.GateRecords({**records, name: sg.GateRecord(site, closed, closed)})).item()
            assert whole - left >= asked, name


def test_macs_per_gate_are_above_zero() -> None:
    with pytest.raises(sg.InputError, match="granularity: 0 MACs per gate are not above 0"):
        sg.MacsPerGate(0)
