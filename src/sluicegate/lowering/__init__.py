"""Network -> the program that the engine runs, checked against the network itself; and back."""

from sluicegate.lowering.export import check_exportable as check_exportable
from sluicegate.lowering.export import export as export
from sluicegate.lowering.lift import lift as lift
from sluicegate.lowering.lower import Lowered as Lowered
from sluicegate.lowering.lower import lower as lower
from sluicegate.lowering.verify import verify_lowered as verify_lowered
