"""What is known of each op, one room an op, and the reading of a network by them."""

from sluicegate.ops.layout import PLANE as PLANE
from sluicegate.ops.layout import VECTOR as VECTOR
from sluicegate.ops.layout import Layout as Layout
from sluicegate.ops.layout import channel_count as channel_count
from sluicegate.ops.layout import is_plane as is_plane
from sluicegate.ops.layout import layout_of as layout_of
from sluicegate.ops.layout import pixel_count as pixel_count
from sluicegate.ops.layout import pixel_sides as pixel_sides
from sluicegate.ops.layout import storage as storage
from sluicegate.ops.reading import is_read as is_read
from sluicegate.ops.reading import read_again as read_again
from sluicegate.ops.reading import read_copy as read_copy
from sluicegate.ops.reading import read_network as read_network
from sluicegate.ops.reading import read_node as read_node
from sluicegate.ops.room import Call as Call
from sluicegate.ops.room import Room as Room
from sluicegate.ops.room import Work as Work
from sluicegate.ops.room import call_of as call_of
from sluicegate.ops.room import kind_of as kind_of
from sluicegate.ops.room import zeros_of as zeros_of
from sluicegate.ops.table import ROOMS as ROOMS
from sluicegate.ops.table import keeps_zero as keeps_zero
from sluicegate.ops.table import room_of as room_of
