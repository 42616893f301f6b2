"""Which input channels an output channel of an op depends on.

Legend: C channels. A flag is the number of the gate's flag that closes a channel.

Two walks over a network use links. `push`, forward: the flag that closes everything that an output channel depends on.
`pull`, backward: the flag that closes everything that depends on an input channel.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

OPEN = -1
"""No flag: the channel is always there."""
UNREAD = -2
"""Nobody reads the channel."""

Flags = np.ndarray
"""[C] whole numbers, each a flag, OPEN or UNREAD."""


class Link(Protocol):
    """Of one input of an op."""

    def push(self, flags: Flags) -> Flags:
        """Flags of the input's channels -> flags of the output's; UNREAD where none of them has a say."""
        ...

    def pull(self, flags: Flags) -> Flags:
        """Flags of the output's channels -> flags of the input's."""
        ...


@dataclass(frozen=True, eq=False)
class Sources:
    """Output channel c depends on input channel sources[c], or on none (-1) of `inputs` channels."""

    sources: np.ndarray
    inputs: int

    def push(self, flags: Flags) -> Flags:
        return np.where(self.sources >= 0, flags[self.sources], UNREAD)

    def pull(self, flags: Flags) -> Flags:
        linked = self.sources >= 0
        return _common(flags[linked], self.sources[linked], self.inputs)


@dataclass(frozen=True, eq=False)
class Spread:
    """Input channel c goes to output channel targets[c] alone, which may depend on several; there are `outputs`."""

    targets: np.ndarray
    outputs: int

    def push(self, flags: Flags) -> Flags:
        return _common(flags, self.targets, self.outputs)

    def pull(self, flags: Flags) -> Flags:
        return flags[self.targets]


@dataclass(frozen=True, eq=False)
class Mixed:
    """Every output channel of a group depends on every input channel of it."""

    inputs: int
    outputs: int
    groups: int = 1

    def push(self, flags: Flags) -> Flags:
        return np.repeat(_uniform(flags, self.groups), self.outputs // self.groups)

    def pull(self, flags: Flags) -> Flags:
        return np.repeat(_uniform(flags, self.groups), self.inputs // self.groups)


def each(channels: int) -> Sources:
    """Channel c depends on channel c."""
    return Sources(np.arange(channels), channels)


def agreed(opinions: list[Flags], channels: int) -> Flags:
    """Combine several readers, or several inputs, of each channel: a flag only if all relevant ones have the same."""
    found = np.full(channels, UNREAD)
    for opinion in opinions:
        undecided = found == UNREAD
        found = np.where(undecided, opinion, np.where((opinion == found) | (opinion == UNREAD), found, OPEN))
    return found


LinksOf = Callable[..., tuple[Link, ...]]


def _uniform(flags: Flags, groups: int) -> Flags:
    """[C] -> [groups]: the flag that all channels of a group share, else OPEN."""
    by_group = flags.reshape(groups, -1)
    return np.where((by_group == by_group[:, :1]).all(1), by_group[:, 0], OPEN)


def _common(flags: Flags, places: np.ndarray, count: int) -> Flags:
    """[count]: for each place the flag of all entries there, OPEN where they differ, UNREAD where there is none."""
    lowest, highest = np.full(count, np.iinfo(np.int64).max), np.full(count, np.iinfo(np.int64).min)
    np.minimum.at(lowest, places, flags)
    np.maximum.at(highest, places, flags)
    return np.where(highest < lowest, UNREAD, np.where(lowest == highest, lowest, OPEN))
