"""A network as an fx graph: traced, with shapes, in order."""

from sluicegate.graph.dominators import between as between
from sluicegate.graph.dominators import immediate_dominators as immediate_dominators
from sluicegate.graph.edit import copy_in as copy_in
from sluicegate.graph.evaluate import tensors_in as tensors_in
from sluicegate.graph.evaluate import without_data as without_data
from sluicegate.graph.leaves import class_name as class_name
from sluicegate.graph.leaves import is_hooked as is_hooked
from sluicegate.graph.leaves import own_methods as own_methods
from sluicegate.graph.leaves import standard_type as standard_type
from sluicegate.graph.nodes import IMAGES as IMAGES
from sluicegate.graph.nodes import constant_value as constant_value
from sluicegate.graph.nodes import copies as copies
from sluicegate.graph.nodes import example_of as example_of
from sluicegate.graph.nodes import is_constant as is_constant
from sluicegate.graph.nodes import label as label
from sluicegate.graph.nodes import module_of as module_of
from sluicegate.graph.nodes import note_shape as note_shape
from sluicegate.graph.nodes import output_of as output_of
from sluicegate.graph.nodes import path_of as path_of
from sluicegate.graph.nodes import shape as shape
from sluicegate.graph.nodes import shape_text as shape_text
from sluicegate.graph.same import check_same as check_same
from sluicegate.graph.tracing import Spellings as Spellings
from sluicegate.graph.tracing import cannot_be_copied as cannot_be_copied
from sluicegate.graph.tracing import kept_modes as kept_modes
from sluicegate.graph.tracing import trace as trace
