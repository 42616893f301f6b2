"""Heads: features in, raw gate outputs out.

Legend: N images, C channels, H W pixels, K hidden neurons, P_i outputs of the i-th layer on top.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from sluicegate.errors import InputError


class Head(nn.Module, ABC):
    """Looks at a feature map and says one number per output."""

    outputs: nn.ModuleList
    """The last linear layers, in the order of the sites that they serve."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, K], shared by all outputs."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """[N, C, H, W] -> one [N, P_i] per output."""
        hidden = self.features(x)
        return tuple(output(hidden) for output in self.outputs)


class PooledHead(Head):
    """Global average pool, linear to `hidden`, optional batch norm, ReLU, then a linear layer per output.

    With one output it is the gate of ConvNet-AIG and batch shaping (with batch norm); with two it is DLCG's joint head
    (section 3.2, figure 2: one shared layer of 16 neurons, no batch norm, one output for the layer, one for its
    channels).

    Args:
        channels: C of the feature map.
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

    def features(self, x: Tensor) -> Tensor:
        pooled = x.sum(dim=tuple(range(2, x.dim()))) / math.prod(
            x.shape[2:]
        )  # [N, C]; unlike mean, its backward is a view
        return self.relu(self.norm(self.hidden(pooled)))  # [N, K]
