"""Ways to gate random networks, for property tests: which first block they need, and how its gates stand."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from random_blocks import BLOCKS, JOINED, RESIDUAL, Block
from random_nets import random_net
from torch import nn

import sluicegate as sg
from sluicegate.convert import Gating, exit_classifier

SIZE = 12
"""Pixels on a side of what random networks read."""


class Case(NamedTuple):
    """A gating of a network whose first block is one of these."""

    first: Sequence[Block]
    gating: Callable[[nn.Module], Gating | list[Gating]]


def _exits(net: nn.Module) -> sg.ExitGating:
    """Behind every block but the last."""
    assert isinstance(net.trunk, nn.Sequential)
    places = [f"trunk.{i}" for i in range(len(net.trunk) - 1)]
    return sg.ExitGating(places, classifier=partial(exit_classifier, hidden=4), initial_open_rate=0.6)


def _channels(at: str | list[str], rate: float = 0.6, **options) -> sg.ChannelGating:
    return sg.ChannelGating(at, initial_open_rate=rate, **options)


EVERYWHERE = ["inp", "all", "out"]
CASES = {
    "channels": Case(BLOCKS, lambda net: _channels("all", 0.5)),
    "pairs": Case(RESIDUAL, lambda net: _channels(["mid", "out"], granularity=2, estimator=sg.GumbelSoftmax())),
    "kept open": Case(BLOCKS, lambda net: _channels("all", 0.3, keep_open=1)),
    "everywhere": Case(RESIDUAL, lambda net: _channels(EVERYWHERE)),
    "joined": Case(JOINED, lambda net: _channels("concat")),
    "layers": Case(RESIDUAL, lambda net: sg.LayerGating(initial_open_rate=0.5)),
    "joint": Case(RESIDUAL, lambda net: sg.JointGating(initial_open_rate=0.6)),
    "joint everywhere": Case(RESIDUAL, lambda net: sg.JointGating(_channels(EVERYWHERE), initial_open_rate=0.6)),
    "apart": Case(RESIDUAL, lambda net: [sg.LayerGating(initial_open_rate=0.6), _channels("all")]),
    "shared": Case(BLOCKS, lambda net: sg.SharedGating(_channels("all"))),
    "exits": Case(BLOCKS, lambda net: [_channels("all"), _exits(net)]),
    "joint and exits": Case(RESIDUAL, lambda net: [sg.JointGating(initial_open_rate=0.6), _exits(net)]),
}


def random_gated(seed: int, case: str) -> tuple[nn.Module, sg.GatedModel]:
    """A random network, and the same with gates, both in evaluation."""
    net = random_net(seed, CASES[case].first)
    return net, sg.gate_model(net, CASES[case].gating(net), torch.zeros(1, 3, SIZE, SIZE)).eval()


def tell_images_apart(gated: sg.GatedModel) -> None:
    """Give heads weights so large that some gates close, other ones for each image."""
    torch.manual_seed(1)
    for gate in gated.gates.values():
        for layer in gate.head.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=3 / math.sqrt(layer.in_features))
