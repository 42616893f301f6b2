"""What is known of each op, one room an op, and the reading of a network by them."""

from sluicegate.ops.frame.layout import PLANE as PLANE
from sluicegate.ops.frame.layout import VECTOR as VECTOR
from sluicegate.ops.frame.layout import Layout as Layout
from sluicegate.ops.frame.layout import channel_count as channel_count
from sluicegate.ops.frame.layout import is_plane as is_plane
from sluicegate.ops.frame.layout import layout_of as layout_of
from sluicegate.ops.frame.layout import pixel_count as pixel_count
from sluicegate.ops.frame.layout import pixel_sides as pixel_sides
from sluicegate.ops.frame.layout import storage as storage
from sluicegate.ops.frame.reading import is_read as is_read
from sluicegate.ops.frame.reading import read_again as read_again
from sluicegate.ops.frame.reading import read_copy as read_copy
from sluicegate.ops.frame.reading import read_network as read_network
from sluicegate.ops.frame.reading import read_node as read_node
from sluicegate.ops.frame.room import Call as Call
from sluicegate.ops.frame.room import Room as Room
from sluicegate.ops.frame.room import Work as Work
from sluicegate.ops.frame.room import call_of as call_of
from sluicegate.ops.frame.room import inputs_of as inputs_of
from sluicegate.ops.frame.room import kind_of as kind_of
from sluicegate.ops.frame.room import zeros_of as zeros_of
from sluicegate.ops.frame.table import ROOMS as ROOMS
from sluicegate.ops.frame.table import keeps_zero as keeps_zero
from sluicegate.ops.frame.table import room_of as room_of
