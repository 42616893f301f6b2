"""A gated program without its gates, to measure what the same network costs if nothing is skipped."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from .artifact import Artifact
from .ops import room_of
from .program import Op


def without_gates(artifact: Artifact) -> Artifact:
    """The plain network in a gated program.

    Removed are gates and everything that only gates read, exits, regions and channel maps. Ops that select channels
    pass on their input; so do products with a gate's logits (feature boosting), which the plain network does not have.
    Apart from these products the outputs are those of the gated program with every gate open.

        dense = without_gates(load_program("net.sluice"))
    """
    program = artifact.program
    boosts = {op.inputs[0] for op in program.ops if room_of(op).writes == "gate"}
    same: dict[str, str] = {}  # a value that is no longer made -> the one that it would equal
    absent: set[str] = set()
    ops: list[Op] = []
    for op in program.ops:
        plain = _plain(replace(op, inputs=tuple(same.get(name, name) for name in op.inputs)), absent, boosts)
        if isinstance(plain, Op):
            ops.append(plain)
        elif plain is None:
            absent.add(str(op.output))
        else:
            same[str(op.output)] = plain
    outputs = {name: same.get(output, output) for name, output in program.outputs.items()}
    return _gathered(artifact, outputs, _leading_to(outputs.values(), ops))


def _plain(op: Op, absent: set[str], boosts: set[str]) -> Op | str | None:
    """What is left of an op: an op, a value that its output equals, or nothing."""
    room = room_of(op)
    if room.plain == "nothing":
        return None
    if op.unless:  # all gates are open here
        stand_in = room.stand_in(op)
        return stand_in and _activation(op, stand_in)
    inputs = tuple(name for name in op.inputs if name not in absent)
    if room.plain == "input" or (room.plain == "boost" and op.inputs[1] in boosts):
        return op.inputs[0] if inputs == op.inputs else None
    if room.sums and len(inputs) == 1:
        return _activation(op, inputs[0])
    if not room.sums and inputs != op.inputs:
        return None
    return replace(op, inputs=inputs, when=())


def _activation(op: Op, value: str) -> Op | str:
    """Nothing but the activation in which an op ends."""
    function, alpha = (op.attributes.get(key, default) for key, default in (("activation", "none"), ("alpha", 0.0)))
    if function == "none":
        return value
    return Op("activation", op.name, (value,), op.output, attributes={"function": function, "alpha": alpha})


def _gathered(artifact: Artifact, outputs: dict[str, str], ops: Sequence[Op]) -> Artifact:
    """The program of these ops, with the values and tensors that they need."""
    program = artifact.program
    made = {program.input, *(op.output for op in ops)}
    values = tuple(replace(value, channels=()) for value in program.values if value.name in made)
    named = {tensor for op in ops for tensor in op.tensors.values()}
    tensors = {name: tensor for name, tensor in artifact.tensors.items() if name in named}
    return Artifact(replace(program, outputs=outputs, values=values, ops=tuple(ops)), tensors)


def _leading_to(outputs: Iterable[str], ops: Sequence[Op]) -> list[Op]:
    needed, kept = set(outputs), []
    for op in reversed(ops):
        if op.output in needed:
            kept.append(op)
            needed.update(op.inputs)
    return kept[::-1]
