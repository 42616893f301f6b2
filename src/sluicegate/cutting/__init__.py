"""Gated network -> smaller network: settled gates are removed, with everything that is not needed any more."""

from sluicegate.cutting.pruned import prune as prune
from sluicegate.cutting.pruned import prune_settled as prune_settled
from sluicegate.cutting.pruned import with_gates_left as with_gates_left
from sluicegate.cutting.pruned import without_gates as without_gates
from sluicegate.cutting.saving import save_pruned as save_pruned
from sluicegate.cutting.settling import settle as settle
from sluicegate.cutting.settling import settled_gates as settled_gates
from sluicegate.cutting.specialised import images_of as images_of
from sluicegate.cutting.specialised import numbers_of as numbers_of
from sluicegate.cutting.specialised import open_rates as open_rates
from sluicegate.cutting.specialised import specialise as specialise
from sluicegate.cutting.specialised import used_only_by as used_only_by
