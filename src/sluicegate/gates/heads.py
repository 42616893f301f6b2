"""Heads: features in, raw gate outputs out.

Legend: N images, C channels, H W pixels, K hidden neurons, P_i outputs of the i-th layer on top.

A head is an ordinary small network: its nodes are copied into the graph of the network that it gates, where costs and
export read them as any others. A new head is a class here and nothing else.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn

from sluicegate.errors import InputError


class Head(nn.Module, ABC):
    """Reads a value of the network and computes one number for each output."""

    outputs: nn.ModuleList
    """The last layers, in the order of the sites that they serve."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """What it looks at, e.g. [N, C, H, W] -> one [N, P_i] per site that it serves."""

    @abstractmethod
    def start_at(self, open_rate: float, logits_per_gate: Sequence[int]) -> None:
        """Set biases so that gates start open with this probability; per site, how many outputs make a gate."""

    def form(self) -> Hashable | None:
        """Equal for heads that differ in their weights alone; None for a head that is not one of these here."""
        if type(self).__module__ != __name__:
            return None
        return type(self), str(self), tuple(tensor.shape for tensor in self.state_dict().values())


class PooledHead(Head):
    """Global average pool, linear to `hidden`, optional batch norm, ReLU, then a linear layer per output.

    With one output it is the gate of ConvNet-AIG and batch shaping (with batch norm); with two it is DLCG's joint head
    (section 3.2, figure 2: one shared layer of 16 neurons, no batch norm, one output for the layer, one for its
    channels).

    Args:
        channels: C of the feature map, or of the vector that a gater network made, which needs no pool.
        outputs: P_i of each output.
        hidden: K.
        batch_norm: normalise the hidden neurons.
    """

    def __init__(self, channels: int, outputs: Sequence[int], hidden: int = 16, batch_norm: bool = False) -> None:
        super().__init__()
        if hidden < 1:
            raise InputError(f"hidden: {hidden} must be at least 1")
        self.hidden = nn.Linear(channels, hidden)
        self.norm = nn.BatchNorm1d(hidden) if batch_norm else nn.Identity()
        self.relu = nn.ReLU()
        self.outputs = nn.ModuleList(nn.Linear(hidden, n) for n in outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        hidden = self.relu(self.norm(self.hidden(pool(x))))  # [N, K]
        return tuple(output(hidden) for output in self.outputs)

    def start_at(self, open_rate: float, logits_per_gate: Sequence[int]) -> None:
        for output, logits in zip(self.outputs, logits_per_gate, strict=True):
            assert isinstance(output, nn.Linear)
            start_open(open_rate, output.bias, logits)


class LearnedLogits(Head):
    """Logits that are parameters and ignore the image, so the gates prune (stochastic gates, "data-independent").

    Args:
        channels: not used; all heads have the same signature.
        outputs: P_i of each output.
    """

    def __init__(self, channels: int, outputs: Sequence[int]) -> None:
        super().__init__()
        self.outputs = nn.ModuleList(Constant(n) for n in outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(output(x) for output in self.outputs)

    def start_at(self, open_rate: float, logits_per_gate: Sequence[int]) -> None:
        for output, logits in zip(self.outputs, logits_per_gate, strict=True):
            assert isinstance(output, Constant)
            start_open(open_rate, output.values, logits)


class Constant(nn.Module):
    """Learned numbers, the same for every image."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(count))

    def forward(self, x: Tensor) -> Tensor:
        return self.values.expand(x.shape[0], -1)  # [N, P]


class SaliencyHead(Head):
    """Feature boosting and suppression (FBS): ReLU(W s + b), s the mean size |x| of each channel.

    Its outputs are saliencies, not log-odds; they go with the estimator `TopK(boost=True)`.

    Args:
        channels: C of the feature map.
        outputs: P, of the one site that it serves.
    """

    def __init__(self, channels: int, outputs: Sequence[int]) -> None:
        super().__init__()
        if len(outputs) != 1:
            raise InputError(f"outputs: a saliency head serves one site, not {len(outputs)}")
        self.outputs = nn.ModuleList([nn.Linear(channels, outputs[0])])
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.relu(self.outputs[0](pool_sizes(x))),)

    def start_at(self, open_rate: float, logits_per_gate: Sequence[int]) -> None:
        """Saliencies start near 1, so that boosting changes little. The estimator decides how many gates are open."""
        (output,) = self.outputs
        assert isinstance(output, nn.Linear)
        nn.init.ones_(output.bias)
        nn.init.normal_(output.weight, std=0.01)


class MemoryHead(Head):
    """A head with two steps: each gate's logit also depends on the first outputs of all gates of the site.

        first = head(x)    outputs = W_2 ReLU(BatchNorm(W_1 first + b_1)) + b_2

    Stochastic gates, section S1.3: the output of all gates "in their current form" through "linear layer, batch norm,
    relu, and a linear layer". Here the current form is the head's outputs, without noise.

    Args:
        channels: C of what the head reads.
        outputs: P, of the one site that it serves.
        hidden: K, in both steps.
        batch_norm: normalise the hidden neurons of the first step too.
    """

    def __init__(self, channels: int, outputs: Sequence[int], hidden: int = 16, batch_norm: bool = True) -> None:
        super().__init__()
        if len(outputs) != 1:
            raise InputError(f"outputs: a head with a memory serves one site, not {len(outputs)}")
        self.first = PooledHead(channels, outputs, hidden, batch_norm)
        self.hidden = nn.Linear(outputs[0], hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.relu = nn.ReLU()
        self.outputs = nn.ModuleList([nn.Linear(hidden, outputs[0])])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        (first,) = self.first(x)  # [N, P]
        return (self.outputs[0](self.relu(self.norm(self.hidden(first)))),)

    def start_at(self, open_rate: float, logits_per_gate: Sequence[int]) -> None:
        (output,) = self.outputs
        assert isinstance(output, nn.Linear)
        start_open(open_rate, output.bias, logits_per_gate[0])


class ConvHead(Head):
    """Two 3x3 convolutions, each with batch norm and ReLU, average pool, then a linear layer per output.

    The gate of an early exit (stochastic gates, section S1.5). The paper names no ReLU; without ReLUs it would be
    linear.

    Args:
        channels: C of the feature map.
        outputs: P_i of each output.
        size: H, W of the feature map.
        hidden: K, channels of both convolutions.
        pool: side of the windows that are averaged.
    """

    def __init__(
        self, channels: int, outputs: Sequence[int], size: tuple[int, int], hidden: int = 128, pool: int = 4
    ) -> None:
        super().__init__()
        if not 1 <= pool <= min(size):
            raise InputError(f"pool: {pool} is not in 1..{min(size)}, the smaller side of the map that the head reads")
        self.first = nn.Conv2d(channels, hidden, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(hidden)
        self.second = nn.Conv2d(hidden, hidden, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(hidden)
        self.relu = nn.ReLU()
        self.pool = nn.AvgPool2d(pool)
        features = hidden * math.prod(side // pool for side in size)
        self.outputs = nn.ModuleList(nn.Linear(features, n) for n in outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        first = self.relu(self.first_norm(self.first(x)))  # [N, K, H, W]
        second = self.relu(self.second_norm(self.second(first)))
        features = self.pool(second).flatten(1)
        return tuple(output(features) for output in self.outputs)

    def start_at(self, open_rate: float, logits_per_gate: Sequence[int]) -> None:
        for output, logits in zip(self.outputs, logits_per_gate, strict=True):
            assert isinstance(output, nn.Linear)
            start_open(open_rate, output.bias, logits)


class LogitHead(Head):
    """Reads logits [N, G] that nodes of the graph before it computed, and hands them on; it has no parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs = nn.ModuleList()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x,)

    def start_at(self, open_rate: float, logits_per_gate: Sequence[int]) -> None:
        """Nothing: whoever made the layer before it starts that (`start_open`)."""


def pool(x: Tensor) -> Tensor:
    """[N, C, H, W] or [N, C] -> [N, C]; unlike that of mean, the backward of a sum is a view. A node by itself."""
    return x if x.dim() == 2 else x.sum(dim=tuple(range(2, x.dim()))) / math.prod(x.shape[2:])


def pool_sizes(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C], the mean size |x| of each channel."""
    return pool(x.abs())


@torch.no_grad()
def start_open(open_rate: float, bias: Tensor, logits_per_gate: int = 1) -> None:
    """A bias [G * K] zero, but for the last logit of each gate: log(p / (1 - p))."""
    by_gate = bias.view(-1, logits_per_gate)
    by_gate.zero_()
    by_gate[:, -1] = math.log(open_rate / (1 - open_rate))
