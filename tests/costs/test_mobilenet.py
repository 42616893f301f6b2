"""MobileNetV2's MACs are those of stochastic gates, section 3.4.

Legend: N images, C active channels of a mask, H W pixels of what a block reads, s its stride.

    inverted residual block: H W C_exp (C_in + 9 / s^2 + C_out / s^2)
"""

import pytest
import torch
from torch import Tensor

import sluicegate as sg
from sluicegate.convert import GatedModel
from sluicegate.gates import GateRecord, GateRecords
from sluicegate.graph import module_of, shape
from sluicegate.nets import build_net
from sluicegate.ops import kind_of

IMAGES = 8


@pytest.mark.cases(1)
@pytest.mark.parametrize("side", [96, 224])
@pytest.mark.parametrize("at", [("inp", "mid", "out"), ("inp", "all", "out")])
def test_every_pattern_costs_what_the_paper_says(at: tuple[str, ...], side: int) -> None:
    net = build_net("torchvision:mobilenet_v2")
    gated = sg.gate_model(net, sg.ChannelGating(at, head=sg.LearnedLogits), torch.zeros(1, 3, side, side))
    records = _patterns(gated)
    active = {name: record.open.sum(1).long() for name, record in records.items()}  # [N]
    assert gated.macs(records).tolist() == _by_formula(gated, active).tolist()
    everything = {name: torch.tensor([site.gates]) for name, site in gated.sites.items()}
    assert _by_formula(gated, everything).tolist() == [gated.macs.dense]


def _patterns(gated: GatedModel) -> GateRecords:
    """Each image has each gate open with a probability of its own, so that there are patterns of all sizes."""
    generator = torch.Generator().manual_seed(0)
    rates = torch.linspace(0.1, 0.9, IMAGES)[:, None]
    drawn = {
        name: torch.bernoulli(rates.expand(-1, site.gates), generator=generator) for name, site in gated.sites.items()
    }
    return GateRecords({name: GateRecord(gated.sites[name], is_open, is_open) for name, is_open in drawn.items()})


def _by_formula(gated: GatedModel, active: dict[str, Tensor]) -> Tensor:
    """Of all blocks, and of the layers around them: [N]."""
    network = gated.network
    convolutions = {str(n.target): n for n in network.graph.nodes if kind_of(n) == "conv" and n.op == "call_module"}

    def count(name: str, of: str) -> Tensor:
        whole = torch.tensor(getattr(module_of(network, convolutions[name]), f"{of}_channels"))
        return active.get(f"{name}.in" if of == "in" else name, whole)

    def pixels(name: str) -> int:
        return shape(convolutions[name])[2] * shape(convolutions[name])[3]

    stem, first = count("features.0.0", "out"), count("features.1.conv.1", "out")
    total = pixels("features.0.0") * 3 * 9 * stem + pixels("features.1.conv.1") * stem * (9 + first)
    for block in range(2, 18):
        name = f"features.{block}.conv"
        read = first if block == 2 else count(f"{name}.0.0", "in")
        area, strided = pixels(f"{name}.0.0"), pixels(f"{name}.0.0") // pixels(f"{name}.2")  # H W, s^2
        expanded, made = count(f"{name}.0.0", "out"), count(f"{name}.2", "out")
        total = total + area * expanded * read + area // strided * expanded * (9 + made)
    last = count("features.18.0", "out")
    return total + pixels("features.18.0") * count("features.17.conv.2", "out") * last + 1000 * last
