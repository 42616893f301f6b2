"""Whether a network's graph is the same in training and in evaluation."""

from typing import Any, NamedTuple

from torch import fx


class Difference(NamedTuple):
    """Where two graphs part: the module's path ("" in the network's own forward), and what stands there."""

    path: str
    what: str


def first_difference(evaluated: fx.Graph, trained: fx.Graph) -> Difference | None:
    """The first node at which the graphs differ.

    Training may compute more, as auxiliary classifiers do, as long as all of evaluation is part of it and the first
    thing that training returns is what evaluation returns; the rest is left out of the graph.
    """
    place: dict[fx.Node, int] = {}  # of a node of either graph in that of evaluation
    waiting = list(evaluated.nodes)
    reached = 0
    last: fx.Node | None = None
    for node in trained.nodes:
        expected = waiting[reached]
        if node.op == "output":
            if expected.op == "output" and _returned(expected, place) in _answers(_returned(node, place)):
                return None
            last = last or node
            break
        if expected.op != "output" and _signature(node, place) == _signature(expected, place):
            place[node] = place[expected] = reached
            reached += 1
        else:
            last = last or node
    return Difference(_inside(last), _said(last)) if last else None


def _signature(node: fx.Node, place: dict[fx.Node, int]) -> Any:
    reads = fx.map_arg((node.args, dict(node.kwargs)), lambda n: place.get(n, -1))
    made = node.meta.get("made")
    return node.op, str(node.target), str(reads), None if made is None else made.tolist()


def _said(node: fx.Node) -> str:
    """A node in the words of the network's code."""
    if node.op == "output":
        return "what it returns"
    if not isinstance(node.target, str):
        return f"{getattr(node.target, '__name__', node.name)}()"
    return f".{node.target}()" if node.op == "call_method" else repr(node.target)


def _returned(output: fx.Node, place: dict[fx.Node, int]) -> Any:
    """What a graph returns, in the places of its nodes."""
    result = output.args[0]
    if isinstance(result, fx.Node) and isinstance(result.target, type) and issubclass(result.target, tuple):
        result = result.args  # a named tuple
    return fx.map_arg(result, lambda n: place.get(n, -1))


def _answers(returned: Any) -> list[Any]:
    """What counts as the network's answer in training: all that it returns, or the first of several."""
    return [returned, *(returned[:1] if isinstance(returned, (tuple, list)) else ())]


def _inside(node: fx.Node) -> str:
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""
