"""The definition of a program: a slow walk in NumPy. Every faster executor must agree with it.

Everything is computed in float64, one sample at a time, by the definitions in `ops/`. Channels that a gate closed are
set to zero after the op that writes them. Multiply-adds are counted as executed; each room says how, and an op that was
skipped counts nothing.

C channels, H height, W width, F features, G gates, N images.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .artifact import Artifact
from .channels import flag_numbers
from .errors import InputError
from .ops import room_of
from .ops.frame.room import Call, Room, column
from .program import Op, Program, Value, first_flags
from .result import Result
from .spec import verify_program


def run_reference(
    program: Program, tensors: Mapping[str, np.ndarray], images: np.ndarray, threshold: float | None = None
) -> Result:
    """Run images through a program, slowly and in float64.

    Args:
        program: what to run.
        tensors: name -> float32 array.
        images: [N, C, H, W] float32.
        threshold: in [0, 1]; replaces the threshold of every gate that has one: open is what has
            sigmoid(logit) > threshold.

    Returns:
        Outputs, multiply-adds, exits and decisions, a row for each image.

    Raises:
        InputError: the program, the shape of `images` or the threshold is refused.

        run_reference(artifact.program, artifact.tensors, images).output  # [N, ...]
    """
    verify_program(program, tensors)
    check_images(program, images)
    cut = None if threshold is None else logit_of(threshold)
    return ReferenceExecutor(Artifact(program, tensors)).run(images, cut)


class ReferenceExecutor:
    """The definition as an executor. It is slow: for tests, or without the native engine."""

    isa = "numpy"

    def __init__(self, artifact: Artifact) -> None:
        program = artifact.program
        self._artifact = artifact
        self._values = {value.name: value for value in program.values}
        self._numbers = first_flags(program.values)

    def run(self, images: np.ndarray, threshold: float | None) -> Result:
        """See `Executor.run`."""
        return self._gathered([self._sample(image, threshold) for image in images])

    def profile(
        self, image: np.ndarray, repeats: int, gates: Mapping[str, np.ndarray] | None
    ) -> list[tuple[float, int]]:
        """See `Executor.profile`."""
        costs = [self._sample(image, None, gates or {}).costs for _ in range(repeats)]
        ops = range(len(self._artifact.program.ops))
        return [(sum(one[i][0] for one in costs), costs[0][i][1]) for i in ops]

    def _sample(
        self, image: np.ndarray, threshold: float | None, forced: Mapping[str, np.ndarray] | None = None
    ) -> "_Sample":
        program = self._artifact.program
        nothing = [(0.0, 0)] * len(program.ops)
        sample = _Sample(
            program, self._values, self._numbers, self._artifact.tensors, threshold, forced or {}, costs=nothing
        )
        sample.arrays[program.input] = image.astype(np.float64)
        _walk(sample)
        return sample

    def _gathered(self, samples: Sequence["_Sample"]) -> Result:
        program = self._artifact.program
        outputs = {
            name: np.array([sample.outputs[name] for sample in samples], np.float32).reshape(
                -1, *self._values[output].shape
            )
            for name, output in program.outputs.items()
        }
        gates = {
            gate: np.array([sample.flags(gate) for sample in samples], bool).reshape(-1, count)
            for gate, count in program.gates.items()
        }
        macs = np.array([sum(macs for _, macs in sample.costs) for sample in samples], np.int64)
        return Result(outputs, macs, np.array([sample.exit for sample in samples], np.int64), gates)


def check_images(program: Program, images: np.ndarray) -> None:
    """InputError unless `images` is a float32 array [N, C, H, W] of the program's input shape."""
    check_array("images", images, ("N", *program.shape(program.input)))


def check_array(name: str, array: np.ndarray, shape: tuple[int | str, ...]) -> None:
    """InputError unless an argument is a float32 array of this shape; a letter stands for any length."""
    known = isinstance(array, np.ndarray)
    fits = known and len(array.shape) == len(shape) and array.dtype == np.float32
    if not fits or any(isinstance(side, int) and side != own for side, own in zip(shape, array.shape, strict=True)):
        found = f"{array.dtype} {array.shape}" if known else type(array).__name__
        raise InputError(f"{name}: {found} is not a float32 array [{', '.join(map(str, shape))}]")


def logit_of(threshold: float) -> float:
    """The logit at which a gate opens: log(t / (1 - t)); -inf at 0, inf at 1. InputError outside [0, 1]."""
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold: {threshold} is not in [0, 1]")
    with np.errstate(divide="ignore"):
        return float(np.log(threshold) - np.log1p(-threshold))


@dataclass
class _Sample:
    """One image on its way through the program."""

    program: Program
    values: Mapping[str, Value]
    numbers: Mapping[str, int]  # gate -> the number of its first flag
    tensors: Mapping[str, np.ndarray]
    threshold: float | None
    forced: Mapping[str, np.ndarray]  # gate -> flags in place of what it decides
    costs: list[tuple[float, int]]  # of each op: seconds, multiply-adds
    arrays: dict[str, np.ndarray] = field(default_factory=dict)  # tensors float64, gates bool; absent if skipped
    exit: int = -1
    outputs: Mapping[str, np.ndarray] = field(default_factory=dict)

    def flags(self, gate: str) -> np.ndarray:
        """[G] bool; a gate that was not evaluated is closed."""
        return self.arrays.get(gate, np.zeros(self.values[gate].shape, bool))

    def runs(self, op: Op) -> bool:
        """Whether an op's gates let it run."""
        return all(self.flags(gate)[0] for gate in op.when) and not any(self.flags(gate)[0] for gate in op.unless)

    def open_channels(self, name: str) -> np.ndarray:
        """[C] bool: the channels of a value that its gates leave open."""
        value = self.values[name]
        numbers = flag_numbers(value.channels, value.shape[0], self.numbers)
        # Numbers count through all gates; -1, always open, is the last.
        flags = np.concatenate([*(self.flags(gate) for gate in self.numbers), [True]])
        return flags[numbers]


def _walk(sample: _Sample) -> None:
    program, exits = sample.program, 0
    for index, op in enumerate(program.ops):
        room = room_of(op)
        if not room.ends:
            started = time.perf_counter()
            macs = _run_op(op, room, sample)
            sample.costs[index] = (time.perf_counter() - started, macs)
        elif not sample.flags(op.inputs[1])[0]:
            (name,) = program.outputs
            sample.exit, sample.outputs = exits, {name: sample.arrays[op.inputs[0]]}
            return
        else:
            exits += 1
    sample.outputs = {name: sample.arrays[output] for name, output in program.outputs.items()}


def _run_op(op: Op, room: Room, sample: _Sample) -> int:
    """Returns the multiply-adds that it took."""
    runs = sample.runs(op)
    if not runs and not _stands_in(op, room, sample):
        return 0
    call = _call(op, room, sample)
    array = room.run(call) if runs else room.skipped(call)
    output = str(op.output)
    if room.writes == "gate":
        sample.arrays[output] = np.asarray(sample.forced.get(output, array), bool)
    else:
        sample.arrays[output] = np.where(column(call.opens, array), array, 0.0)
    return call.macs


def _stands_in(op: Op, room: Room, sample: _Sample) -> bool:
    """Whether an op that is skipped has an output for all that."""
    name = room.stand_in(op)
    return name is not None and name in sample.arrays


def _call(op: Op, room: Room, sample: _Sample) -> Call:
    output = str(op.output)
    return Call(
        op,
        room.attributes_of(op),
        inputs=tuple(sample.arrays.get(name) for name in op.inputs),
        opened=sample.open_channels(op.inputs[0]) if op.inputs else np.empty(0, bool),
        opens=sample.open_channels(output),
        shape=sample.values[output].shape,
        tensors={role: sample.tensors[name].astype(np.float64) for role, name in op.tensors.items()},
        threshold=sample.threshold,
    )
