"""Gates whose noise fades while training goes on (ours).

    open = [l + s L > 0],   d open / d l = d sigmoid((l + s L) / T) / d l,   L ~ Logistic(0, 1)

At s = 1 it is `BinConcrete`, at s = 0 `StraightThrough` with a temperature. In evaluation a gate is [l > 0], so a gate
that still draws noise in the last epoch is measured as another network than the one that was trained. With s = 0 at the
end the two are the same.

Legend: N images, G gates.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sluicegate.errors import InputError
from sluicegate.gates.estimators import Estimator, Scheduled, check_scheduled
from sluicegate.noise import draw_uniform


class FadingNoise(Estimator):
    """Binary concrete gates with noise of a scheduled size (see the file's head).

    Args:
        noise: s >= 0, a number or a schedule: training progress in [0, 1] -> number.
        temperature: T > 0, likewise.

    Raises:
        InputError: a value outside its range, at the start or (from `set_progress`) later.

    Example:
        >>> estimator = FadingNoise(noise=linear(1.0, 0.0, 0.0, 0.7))
        >>> gating = ChannelGating(estimator=estimator)
        >>> gated.set_progress(0.7)  # from here on no noise is drawn
    """

    noise: Tensor
    temperature: Tensor

    def __init__(self, noise: Scheduled = 1.0, temperature: Scheduled = 2 / 3) -> None:
        super().__init__()
        check_scheduled("noise", noise)
        check_scheduled("temperature", temperature)
        self.schedules: dict[str, Callable[[float], float]] = {
            "noise": noise if callable(noise) else lambda progress: noise,
            "temperature": temperature if callable(temperature) else lambda progress: temperature,
        }
        for name in self.schedules:
            self.register_buffer(name, torch.tensor(self._checked(name, 0.0)), persistent=False)

    def set_progress(self, progress: float) -> None:
        """Set both values from their schedules."""
        for name in self.schedules:
            getattr(self, name).fill_(self._checked(name, progress))

    def forward(self, logits: Tensor) -> Tensor:
        """[N, G] logits -> [N, G] in {0, 1}."""
        noisy = logits + self.noise * draw_uniform(logits).logit()
        soft = torch.sigmoid(noisy / self.temperature)
        return (soft > 0.5).to(soft.dtype) + (soft - soft.detach())

    def _checked(self, name: str, progress: float) -> float:
        value = float(self.schedules[name](progress))
        least = "at least 0" if name == "noise" else "greater than 0"
        if not (value > 0 or (value == 0 and name == "noise")):
            raise InputError(f"{name}: {value} must be {least}")
        return value
