"""A moving average of the weights, which generalises better than the last step's (Polyak averaging).

    average <- average + (1 - d_n) (weights - average),   d_n = min(decay, (1 + n) / (10 + n)) after n steps

The smaller decay of the first steps makes them fade faster, as in TensorFlow's `ExponentialMovingAverage`. Running
statistics of batch norms are averaged too; integers are copied.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sluicegate.errors import InputError


class WeightAverage:
    """The average of a network's weights.

    Args:
        net: the network; the average starts at its weights.
        decay: in (0, 1).

    Raises:
        InputError: the decay is outside its range.

    Example:
        >>> average = WeightAverage(net, 0.999)
        >>> average.update(net)  # after each step
        >>> average.copy_to(net)  # after the last
    """

    def __init__(self, net: nn.Module, decay: float = 0.999) -> None:
        if not 0 < decay < 1:
            raise InputError(f"decay: {decay} is not in (0, 1)")
        self.decay, self.steps = decay, 0
        self.state = _copied(net)

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Take in the weights after a step."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for name, now in net.state_dict().items():
            mean = self.state[name]
            if now.is_floating_point():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)

    def copy_to(self, net: nn.Module) -> None:
        """Give a network the average for weights."""
        net.load_state_dict(self.state)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"steps": self.steps, "state": self.state}

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self.steps = kept["steps"]
        for name, tensor in kept["state"].items():
            self.state[name].copy_(tensor)

    @contextmanager
    def inside(self, net: nn.Module) -> Iterator[None]:
        """The network has the average for weights for as long as this lasts."""
        own = _copied(net)
        self.copy_to(net)
        try:
            yield
        finally:
            net.load_state_dict(own)


def _copied(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}
