"""A program as it grows, op by op."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from sluicegate_runtime.program import Attribute, Op, Value


class ProgramBuilder:
    """The values, the ops in order of execution, and the tensors (float32) that they name."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.ops: list[Op] = []
        self.tensors: dict[str, np.ndarray] = {}

    def value(self, name: str) -> Value:
        """A value that is there already."""
        return next(value for value in self.values if value.name == name)

    def add(
        self,
        kind: str,
        value: Value,
        reads: tuple[str, ...],
        attributes: Mapping[str, Attribute] | None = None,
        tensors: Mapping[str, str] | None = None,
        when: str | None = None,
    ) -> None:
        """Add an op and the value that it makes; `when` is the layer gate that skips it."""
        self.values.append(value)
        self.ops.append(Op(kind, value.name, reads, value.name, tensors or {}, attributes or {}, when))

    def weights(self, name: str, weight: Tensor | None, bias: Tensor | None) -> dict[str, str]:
        """Keep the tensors of an op; returns what each is to it -> its name."""
        roles = {part: tensor for part, tensor in (("weight", weight), ("bias", bias)) if tensor is not None}
        for part, tensor in roles.items():
            self.tensors[f"{name}.{part}"] = tensor.detach().cpu().float().numpy()
        return {part: f"{name}.{part}" for part in roles}
