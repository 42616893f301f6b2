"""Reading a network's graph: shapes, the way of the channels, the places for gates."""

from sluicegate.graph.channels import Role as Role
from sluicegate.graph.channels import is_convolution as is_convolution
from sluicegate.graph.channels import is_depthwise as is_depthwise
from sluicegate.graph.channels import passes_zero as passes_zero
from sluicegate.graph.channels import role as role
from sluicegate.graph.sites import Branch as Branch
from sluicegate.graph.sites import Channels as Channels
from sluicegate.graph.sites import Stage as Stage
from sluicegate.graph.sites import channels_at as channels_at
from sluicegate.graph.sites import find_branch_ends as find_branch_ends
from sluicegate.graph.sites import find_branch_inputs as find_branch_inputs
from sluicegate.graph.sites import find_branches as find_branches
from sluicegate.graph.sites import find_channels as find_channels
from sluicegate.graph.sites import find_stages as find_stages
from sluicegate.graph.sites import stage_at as stage_at
from sluicegate.graph.trace import copy_in as copy_in
from sluicegate.graph.trace import example_of as example_of
from sluicegate.graph.trace import module_of as module_of
from sluicegate.graph.trace import set_shape as set_shape
from sluicegate.graph.trace import shape as shape
from sluicegate.graph.trace import trace as trace
