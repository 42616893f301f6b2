"""What a network returns, as the outputs of a program: one tensor, several, or a dictionary of them."""

from typing import TYPE_CHECKING, Any

from torch import fx

from sluicegate.convert.model import returned_by
from sluicegate.errors import InputError
from sluicegate.graph import shape, shape_text
from sluicegate.ops import PLANE, VECTOR, layout_of

if TYPE_CHECKING:
    from sluicegate.lowering.lower import Lowering


def named_outputs(returned: Any) -> dict[str, fx.Node]:
    """What a network returns -> name -> node. One tensor is "output"; of several each has its place, or its key."""
    if isinstance(returned, fx.Node):
        fields = getattr(returned.target, "_fields", None)
        if fields is None:
            return {"output": returned}
        returned = dict(zip(fields, returned.args, strict=False))  # a named tuple
    parts = returned.items() if isinstance(returned, dict) else enumerate(returned) if returned is not None else ()
    found: dict[str, fx.Node] = {}
    for name, part in ((str(key), part) for key, part in parts):
        if not isinstance(part, fx.Node):
            raise InputError(f"net: its output {name!r} is {type(part).__name__}; the engine returns tensors")
        if name in found:
            raise InputError(f"net: it returns two outputs {name!r}")
        found[name] = part
    if not found:
        raise InputError("net: it returns nothing")
    return found


def outputs_of(lowering: "Lowering", output: fx.Node) -> dict[str, str]:
    """Name -> value, each whole and in the network's own shape."""
    return {name: _whole(lowering, name, node) for name, node in named_outputs(returned_by(output)).items()}


def _whole(lowering: "Lowering", name: str, node: fx.Node) -> str:
    sides, layout = len(shape(node)), layout_of(node)
    if node not in lowering.names or (layout, sides) not in ((PLANE, 4), (VECTOR, 2)):
        raise InputError(f"net: it returns {shape_text(node)} as {name!r}; the engine returns [N, C, H, W] or [N, F]")
    value = lowering.names[node]
    value = lowering.values.plane(node, value) if layout == PLANE else lowering.values.vector(value)
    return lowering.values.opened(node, value)
