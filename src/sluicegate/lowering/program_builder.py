"""A program as it grows, op by op.

Legend: C channels.
"""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from sluicegate.costs import FlagNumbers
from sluicegate.ops.frame.links import OPEN, Flags
from sluicegate_runtime import ChannelRun, Op, Value, channel_runs
from sluicegate_runtime.program import Attribute


class ProgramBuilder:
    """The values, the ops in order of execution, and the tensors (float32) that they name.

    Attributes:
        maps: value -> [C], the flag that closes each channel.
    """

    def __init__(self, numbers: FlagNumbers, reserved: frozenset[str]) -> None:
        self.values: dict[str, Value] = {}
        self.ops: list[Op] = []
        self.tensors: dict[str, np.ndarray] = {}
        self.maps: dict[str, Flags] = {}
        self._numbers = numbers
        self._reserved = reserved
        self._runs: dict[bytes, tuple[ChannelRun, ...]] = {}

    def free_name(self, wanted: str) -> str:
        """A name for a value that no gate and no other value has."""
        name, count = wanted, 1
        while name in self.values or name in self._reserved:
            count += 1
            name = f"{wanted}.{count}"
        return name

    def tensor(self, name: str, shape: tuple[int, ...], flags: Flags | None = None) -> str:
        """Add a value; returns its name."""
        name = self.free_name(name)
        flags = np.full(shape[0], OPEN) if flags is None else flags
        self.values[name] = Value(name, shape, channels=self._runs_of(flags))
        self.maps[name] = flags
        return name

    def add(
        self,
        kind: str,
        inputs: tuple[str, ...],
        output: str | None,
        attributes: Mapping[str, Attribute] | None = None,
        tensors: Mapping[str, Tensor] | None = None,
        when: tuple[str, ...] = (),
        unless: tuple[str, ...] = (),
    ) -> None:
        """Add an op that makes a value that is there already."""
        name = output or f"{inputs[-1]}.{kind}"
        named = {role: self._keep(f"{name}.{role}", tensor) for role, tensor in (tensors or {}).items()}
        self.ops.append(Op(kind, name, inputs, output, named, attributes or {}, when, unless))

    def _keep(self, name: str, tensor: Tensor) -> str:
        self.tensors[name] = np.ascontiguousarray(tensor.detach().cpu().float().numpy())
        return name

    def _runs_of(self, flags: Flags) -> tuple[ChannelRun, ...]:
        key = flags.tobytes()
        if key not in self._runs:
            self._runs[key] = channel_runs(self._numbers.pairs_of(flags)) if (flags != OPEN).any() else ()
        return self._runs[key]
