"""The places where gates may stand, found by structure."""

from sluicegate.sites.branches import Branch as Branch
from sluicegate.sites.branches import find_branches as find_branches
from sluicegate.sites.branches import is_layer as is_layer
from sluicegate.sites.branches import name_of as name_of
from sluicegate.sites.channels import find_branch_ends as find_branch_ends
from sluicegate.sites.channels import find_branch_inputs as find_branch_inputs
from sluicegate.sites.channels import find_channels as find_channels
from sluicegate.sites.channels import find_concatenations as find_concatenations
from sluicegate.sites.channels import find_growths as find_growths
from sluicegate.sites.named import channels_at as channels_at
from sluicegate.sites.places import Channels as Channels
from sluicegate.sites.places import Place as Place
from sluicegate.sites.places import Places as Places
from sluicegate.sites.stages import Stage as Stage
from sluicegate.sites.stages import find_stages as find_stages
from sluicegate.sites.stages import stage_at as stage_at
