"""Ends the sample with its value where its gate is closed; where the gate is open the sample goes on."""

from sluicegate_runtime.ops.frame.room import Given, Room


def _shape(given: Given) -> None:
    given.ungated()
    gate = given.inputs[1]
    given.require(gate.shape == (1,), f"gate {gate.name!r} must have one flag")


ROOM = Room(kind="exit", shape=_shape, inputs=(2,), reads_gate=1, ends=True, plain="nothing")
