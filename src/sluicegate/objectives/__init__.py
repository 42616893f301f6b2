"""Objectives: what training asks of the gates."""

from sluicegate.objectives.objective import Objective as Objective
from sluicegate.objectives.objective import WeightedSum as WeightedSum
from sluicegate.objectives.objective import batch_rate as batch_rate
from sluicegate.objectives.rates import Reduction as Reduction
from sluicegate.objectives.rates import SquaredRates as SquaredRates
from sluicegate.objectives.rates import TargetRate as TargetRate
from sluicegate.objectives.reinforce import reinforce as reinforce
