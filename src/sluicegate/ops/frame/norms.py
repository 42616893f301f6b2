"""What ops that look at all channels of the sample at hand have in common."""

import math

from torch import fx

from sluicegate.graph import shape
from sluicegate.ops.frame.layout import channel_count
from sluicegate.ops.frame.links import Link, Mixed
from sluicegate.ops.frame.room import Call, Work


def over_all_channels(node: fx.Node, call: Call) -> tuple[Link, ...]:
    """Each channel depends on every other."""
    return (Mixed(channel_count(node), channel_count(node)),)


def work_of_norm(node: fx.Node, call: Call) -> Work:
    """One for each number."""
    return Work("norm", math.prod(shape(node)[1:]))
