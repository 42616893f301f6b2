"""A gated program without its gates: what the same network costs when nothing is skipped."""

from collections.abc import Sequence
from dataclasses import replace

from .artifact import Artifact
from .program import Op


def dense_program(artifact: Artifact) -> Artifact:
    """The plain network in a gated program.

    Gates are gone with all that only they look at, and so are exits and layer gates' regions; what selects or scales
    gated channels hands on its input. The outputs are those of the gated program with every gate open, but where open
    channels are scaled (feature boosting): the plain network does not do that.
    """
    program = artifact.program
    same: dict[str, str] = {}  # a value that is no longer made -> the one that it would equal
    ops = []
    for op in program.ops:
        inputs = tuple(same.get(name, name) for name in op.inputs)
        if op.kind in ("select", "scale"):
            same[str(op.output)] = inputs[0]
        elif op.kind not in ("gate", "exit"):
            ops.append(replace(op, inputs=inputs, when=None))
    output = same.get(program.output, program.output)
    kept = _leading_to(output, ops)
    made = {program.input, *(op.output for op in kept)}
    values = tuple(replace(value, gate=None) for value in program.values if value.name in made)
    named = {tensor for op in kept for tensor in op.tensors.values()}
    tensors = {name: tensor for name, tensor in artifact.tensors.items() if name in named}
    return Artifact(replace(program, output=output, values=values, ops=tuple(kept)), tensors)


def _leading_to(output: str, ops: Sequence[Op]) -> list[Op]:
    needed, kept = {output}, []
    for op in reversed(ops):
        if op.output in needed:
            kept.append(op)
            needed.update(op.inputs)
    return kept[::-1]
