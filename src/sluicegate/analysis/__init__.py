"""What trained gates did, drawn and tabled."""

from .frontier import Point as Point
from .frontier import Series as Series
from .frontier import pareto as pareto
from .frontier import save_frontier as save_frontier
