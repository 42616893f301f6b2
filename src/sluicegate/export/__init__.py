"""Gated network -> the program that the engine runs."""

from sluicegate.export.lift import lift as lift
from sluicegate.export.lower import lower as lower
from sluicegate.export.save import export as export
