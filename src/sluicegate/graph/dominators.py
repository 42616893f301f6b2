"""Which nodes lie on every path to another."""

from torch import fx

from sluicegate.graph.nodes import is_constant


def immediate_dominators(graph: fx.Graph) -> dict[fx.Node, fx.Node | None]:
    """For each node the last node that lies on every path to it from the inputs (one pass: the graph is a DAG in
    order). Parameters, and what is computed of them alone, are on no path."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    dominator: dict[fx.Node, fx.Node | None] = {}

    def meet(a: fx.Node | None, b: fx.Node | None) -> fx.Node | None:
        while a is not b:
            if a is None or b is None:
                return None
            if order[a] > order[b]:
                a = dominator[a]
            else:
                b = dominator[b]
        return a

    for node in graph.nodes:
        sources = [n for n in node.all_input_nodes if not is_constant(n)]  # weights may be computed
        common: fx.Node | None = sources[0] if sources else None
        for source in sources[1:]:
            common = meet(common, source)
        dominator[node] = common
    return dominator


def between(fork: fx.Node, end: fx.Node) -> set[fx.Node]:
    """Every node on a path from the fork (excluded) to the end (included), parameters left out."""
    found: set[fx.Node] = set()
    waiting = [] if end is fork else [end]
    while waiting:
        node = waiting.pop()
        found.add(node)
        waiting.extend(n for n in node.all_input_nodes if n is not fork and n not in found and not is_constant(n))
    return found
