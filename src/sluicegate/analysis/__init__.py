"""What trained gates did, drawn and tabled."""

from sluicegate.analysis.frontier import Point as Point
from sluicegate.analysis.frontier import Series as Series
from sluicegate.analysis.frontier import pareto as pareto
from sluicegate.analysis.frontier import save_frontier as save_frontier
