"""Proxies that know the shape of their value while a network is traced.

`x.shape[2]`, `x.size(1)`, `x.ndim` are numbers, and branches on them are taken as for the example. Only a dimension
that depends on the number of images stays symbolic, so that `x.view(x.size(0), -1)` works for any number of images.
"""

import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx

_FIXED = ("dtype", "device", "layout", "is_cuda", "is_sparse", "is_quantized", "is_mkldnn", "requires_grad", "names")


class Shape(tuple):
    """Sides, each a number or a proxy for one that depends on the number of images. Comparisons ask the example."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return Shape(found) if isinstance(index, slice) else found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple) and _known(self) == _known(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(_known(self))

    def numel(self) -> Any:
        """The product of the sides."""
        total: Any = 1
        for side in self:
            total = total * side
        return total


class ShapedProxy(fx.Proxy):
    """A value of the network under trace."""

    @property
    def known(self) -> tuple[Any, Any]:
        """Its value for both numbers of images."""
        return self.node.meta["values"]

    def __getattr__(self, name: str) -> Any:
        value = self.known[0]
        if isinstance(value, Tensor):
            if name in ("shape", "ndim"):
                return self.size() if name == "shape" else value.dim()
            if name in _FIXED:
                return torch.device("cpu") if name == "device" else getattr(value, name)
        return super().__getattr__(name)

    def size(self, dim: int | None = None) -> Any:
        """As a tensor's `size`."""
        if not isinstance(self.known[0], Tensor):
            return self.tracer.create_proxy("call_method", "size", (self,) if dim is None else (self, dim), {})
        if dim is not None:
            return self._side(dim)
        return Shape(self._side(dim) for dim in range(self.known[0].dim()))

    def dim(self) -> int:
        """As a tensor's `dim`."""
        return self.known[0].dim()

    ndimension = dim

    def __len__(self) -> int:
        first, second = map(len, self.known)
        if first != second:
            raise TypeError("len() of a value whose length depends on the number of images; use .shape[0]")
        return first

    def __iter__(self) -> Iterator["fx.Proxy"]:
        return iter([self[i] for i in range(len(self))])  # pyright: ignore[reportIndexIssue]

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "it writes into a part of a value, `x[...] = y`, which no graph can follow; use torch.cat or torch.where"
        )

    def _side(self, dim: int) -> Any:
        first, second = (value.shape[dim] for value in self.known)
        return first if first == second else self.tracer.create_proxy("call_method", "size", (self, dim), {})


def _in_place(name: str) -> Any:
    """`x += y`: of a tensor in place, so that who reads x later sees it; of a number not."""

    def method(self: ShapedProxy, other: Any) -> Any:
        if isinstance(self.known[0], Tensor):
            return self.tracer.create_proxy("call_function", getattr(operator, f"i{name}"), (self, other), {})
        return getattr(operator, name)(self, other)

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    setattr(ShapedProxy, f"__i{_name}__", _in_place(_name))


def _known(sides: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(side.known if isinstance(side, ShapedProxy) else side for side in sides)
