"""The places where a gate may stand, found by structure.

Legend: N images, C channels, G gates.

A **residual branch** hangs between a fork and an addition: the fork is the addition's immediate dominator (the last
value that everything it adds depends on), the branch is the operand with more convolutions, and nobody outside looks
into it.

A **channel site** is a value whose channels come from one convolution, one by one (norm, activation, pooling, depthwise
convolution), and go to convolutions only. Closing channel c there makes the producer's filter c and the consumers'
slices c work not done. The last such value is the site: after the activation, never before a norm.

The end of a residual branch is a channel site too (closing c there leaves the sum without it), and so is what its first
convolutions read, masked for them alone: the shortcut and everybody else see all channels.

A **stage** ends with the last sum or concatenation of its resolution (activated, if an activation follows) that
everything later depends on. In a network that has none, such as VGG, it is the last convolution.
"""

import math
from dataclasses import dataclass, replace
from itertools import takewhile

import torch
from torch import fx

from sluicegate.errors import InputError
from sluicegate.graph.channels import Role, is_convolution, passes_zero, role
from sluicegate.graph.trace import module_of, shape


@dataclass(frozen=True)
class Branch:
    """A residual branch: the nodes after `fork` up to and with `end`, which is then added to the shortcut."""

    name: str
    fork: fx.Node
    end: fx.Node
    nodes: tuple[fx.Node, ...]


@dataclass(frozen=True)
class Channels:
    """A value whose channels a gate may close: `value`, made by `producer`; for `users` alone, if they are named."""

    name: str
    producer: fx.Node
    value: fx.Node
    branch: Branch | None
    users: tuple[fx.Node, ...] | None = None

    @property
    def reads(self) -> fx.Node:
        """What a gate should look at: what the branch reads, or what the producer reads."""
        return self.branch.fork if self.branch else self.producer.all_input_nodes[0]

    @property
    def count(self) -> int:
        """C."""
        return shape(self.value)[1]


@dataclass(frozen=True)
class Stage:
    """The end of a stage: `value` [N, C, H, W], on which all that comes later depends."""

    name: str
    value: fx.Node


def find_branches(graph_module: fx.GraphModule) -> list[Branch]:
    """Every residual branch, in order of execution."""
    dominators = _immediate_dominators(graph_module.graph)
    branches: dict[str, Branch] = {}
    for node in graph_module.graph.nodes:
        if role(graph_module, node) is Role.ADD:
            branch = _branch(graph_module, node, dominators[node])
            if branch:
                unique = branch if branch.name not in branches else replace(branch, name=node.name)
                branches[unique.name] = unique
    return list(branches.values())


def find_channels(graph_module: fx.GraphModule) -> list[Channels]:
    """Every value whose channels may be gated, in order of execution."""
    branch_of = {node: branch for branch in find_branches(graph_module) for node in branch.nodes}
    found: dict[str, Channels] = {}
    for node in graph_module.graph.nodes:
        if not is_convolution(graph_module, node):
            continue
        value, branch = _chain(graph_module, node)[-1], branch_of.get(node)
        if branch and _pixels(value) == 1 < _pixels(branch.end):
            continue  # inside a squeeze-and-excitation, where a gate would cost more than it saves
        if value.users and all(is_convolution(graph_module, user) for user in value.users):
            name = _name(node) if _name(node) not in found else node.name
            found[name] = Channels(name, node, value, branch)
    return list(found.values())


def find_branch_ends(graph_module: fx.GraphModule) -> list[Channels]:
    """The last value of every residual branch whose channels come from one convolution, in order of execution."""
    found = []
    for branch in find_branches(graph_module):
        for node in branch.nodes:
            if is_convolution(graph_module, node) and branch.end in _chain(graph_module, node):
                found.append(Channels(_name(node), node, branch.end, branch))
    return found


def find_branch_inputs(graph_module: fx.GraphModule) -> list[Channels]:
    """What the first convolutions of every residual branch read, in order of execution."""
    found = []
    for branch in find_branches(graph_module):
        first = next(n for n in branch.nodes if is_convolution(graph_module, n))
        value = first.all_input_nodes[0]
        readers = tuple(n for n in branch.nodes if n in value.users and is_convolution(graph_module, n))
        found.append(Channels(f"{_name(first)}.in", value, value, branch, readers))
    return found


def find_stages(graph_module: fx.GraphModule) -> list[Stage]:
    """Every stage but the last, behind which nothing is left to be saved, in order of execution."""
    trunk = _trunk(graph_module)
    joins = [n for n in trunk if role(graph_module, n) is Role.ADD or n.target in (torch.cat, torch.concat)]
    ends = joins or [n for n in trunk if is_convolution(graph_module, n)]
    last = {shape(n)[2:]: _settled(graph_module, n) for n in ends if len(shape(n)) == 4}  # of each resolution
    return [Stage(_module_ending_at(graph_module, n), n) for n in list(last.values())[:-1]]


def stage_at(graph_module: fx.GraphModule, name: str) -> Stage:
    """The end of a module, of whatever size, or node that the caller names.

    Raises:
        InputError: there is no such module, or the network's output depends on what goes past it.
    """
    node = _ends_of_modules(graph_module).get(name) or _find(graph_module, name)
    if node not in _trunk(graph_module) or len(shape(node)) != 4:
        raise InputError(f"at: {name!r} is no place for an exit: it must make [N, C, H, W], and nothing may go past it")
    return Stage(name, node)


def channels_at(graph_module: fx.GraphModule, name: str) -> Channels:
    """The channels masked right after a module (or node) that the caller names.

    Raises:
        InputError: there is no such module, it is called more than once, or a gate there would be wrong: in front of a
            norm (a closed channel would leave it as its shift), or where something other than a convolution reads it.
    """
    node = _find(graph_module, name)
    for channels in find_channels(graph_module):
        chain = _chain(graph_module, channels.producer)
        if node in chain:
            after = chain[chain.index(node) + 1 :]
            shifting = next((n for n in after if not passes_zero(graph_module, n)), None)
            if shifting is not None:
                kind = type(module_of(graph_module, shifting)).__name__
                raise InputError(
                    f"at: {name!r} stands before {_name(shifting)!r} ({kind}), which makes closed channels non-zero; "
                    f"a mask must come after it, at {_name(channels.value)!r}"
                )
            return replace(channels, value=node)
    raise InputError(
        f"at: {name!r} is no place for channel gates; its channels must come from one convolution and go to "
        "convolutions only"
    )


def _find(graph_module: fx.GraphModule, name: str) -> fx.Node:
    nodes = [n for n in graph_module.graph.nodes if name in (n.name, str(n.target))]
    exact = [n for n in nodes if n.name == name]
    if len(exact or nodes) == 1:
        return (exact or nodes)[0]
    if nodes:
        raise InputError(
            f"at: {name!r} is called {len(nodes)} times; name one of the nodes {', '.join(n.name for n in nodes)}"
        )
    raise InputError(f"at: {name!r} is not a module of the network")


def _chain(graph_module: fx.GraphModule, producer: fx.Node) -> list[fx.Node]:
    """The producer and what passes its channels on, as long as nobody else reads them."""
    chain = [producer]
    while len(chain[-1].users) == 1:
        (user,) = chain[-1].users
        if role(graph_module, user) is not Role.PASS or user.all_input_nodes != [chain[-1]]:
            break
        chain.append(user)
    return chain


def _branch(graph_module: fx.GraphModule, addition: fx.Node, fork: fx.Node | None) -> Branch | None:
    if fork is None:
        return None
    sides = [(end, _between(fork, end)) for end in addition.all_input_nodes]
    convolutions = [sum(is_convolution(graph_module, n) for n in nodes) for _, nodes in sides]
    if convolutions[0] == convolutions[1]:
        return None
    longer = convolutions.index(max(convolutions))
    end, nodes = sides[longer]
    inside = set(nodes)
    if any(user not in inside and user is not addition for n in nodes for user in n.users):
        return None
    ordered = tuple(n for n in graph_module.graph.nodes if n in inside)
    return Branch(_common_name(ordered), fork, end, ordered)


def _trunk(graph_module: fx.GraphModule) -> list[fx.Node]:
    """The nodes that lie on every path from the inputs to the output, in order of execution."""
    dominators = _immediate_dominators(graph_module.graph)
    node = next(n for n in graph_module.graph.nodes if n.op == "output")
    found = []
    while (node := dominators[node]) is not None:
        found.append(node)
    return found[::-1]


def _settled(graph_module: fx.GraphModule, node: fx.Node) -> fx.Node:
    """What a node has become before another op looks at it: activated, and normalised first if it is a convolution."""
    mixes = is_convolution(graph_module, node)
    passes = takewhile(
        lambda n: shape(n) == shape(node) and (mixes or passes_zero(graph_module, n)), _chain(graph_module, node)[1:]
    )
    return [node, *passes][-1]


def _between(fork: fx.Node, end: fx.Node) -> set[fx.Node]:
    """Every node on a path from the fork (excluded) to the end (included)."""
    found: set[fx.Node] = set()
    waiting = [] if end is fork else [end]
    while waiting:
        node = waiting.pop()
        found.add(node)
        waiting.extend(n for n in node.all_input_nodes if n is not fork and n not in found)
    return found


def _immediate_dominators(graph: fx.Graph) -> dict[fx.Node, fx.Node | None]:
    """For each node the last node that lies on every path to it from the inputs (one pass: the graph is a DAG in
    order)."""
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
        sources = [n for n in node.all_input_nodes if n.op != "get_attr"]
        common: fx.Node | None = sources[0] if sources else None
        for source in sources[1:]:
            common = meet(common, source)
        dominator[node] = common
    return dominator


def _pixels(node: fx.Node) -> int:
    return math.prod(shape(node)[2:])


def _name(node: fx.Node) -> str:
    return str(node.target) if node.op == "call_module" else node.name


def _common_name(nodes: tuple[fx.Node, ...]) -> str:
    """The module that holds all of them: layer1.0 for layer1.0.conv1 and layer1.0.bn1; else the first one's name."""
    paths = [str(n.target).split(".")[:-1] for n in nodes if n.op == "call_module"]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    return ".".join(parts[0] for parts in shared) or _name(nodes[0])


def _ends_of_modules(graph_module: fx.GraphModule) -> dict[str, fx.Node]:
    """Module name -> the last node that was traced inside of it."""
    return {path: n for n in graph_module.graph.nodes for path in n.meta.get("nn_module_stack", ())}


def _module_ending_at(graph_module: fx.GraphModule, node: fx.Node) -> str:
    """The outermost module that ends with a node: layer1 for the last ReLU in it; else the node's own name."""
    ends = _ends_of_modules(graph_module)
    return next((path for path in node.meta.get("nn_module_stack", ()) if ends[path] is node), _name(node))
