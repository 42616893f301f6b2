"""Objectives: what training asks of the gates."""

from sluicegate.objectives.distributions import Beta as Beta
from sluicegate.objectives.distributions import Distribution as Distribution
from sluicegate.objectives.distributions import Normal as Normal
from sluicegate.objectives.distributions import RelaxedBernoulli as RelaxedBernoulli
from sluicegate.objectives.distributions import Uniform as Uniform
from sluicegate.objectives.objective import Objective as Objective
from sluicegate.objectives.objective import WeightedSum as WeightedSum
from sluicegate.objectives.objective import batch_rate as batch_rate
from sluicegate.objectives.objective import gather_batch as gather_batch
from sluicegate.objectives.rates import SquaredRates as SquaredRates
from sluicegate.objectives.rates import TargetRate as TargetRate
from sluicegate.objectives.reduction import Reduction as Reduction
from sluicegate.objectives.reinforce import Reinforce as Reinforce
from sluicegate.objectives.reinforce import reinforce as reinforce
from sluicegate.objectives.shaping import BatchShaping as BatchShaping
from sluicegate.objectives.shaping import batch_shaping as batch_shaping
from sluicegate.objectives.sparsity import GateL0 as GateL0
from sluicegate.objectives.sparsity import GateL1 as GateL1
from sluicegate.objectives.targets import BatchActivation as BatchActivation
from sluicegate.objectives.targets import ExitTarget as ExitTarget
from sluicegate.objectives.targets import LatencyTarget as LatencyTarget
from sluicegate.objectives.targets import MacTarget as MacTarget
from sluicegate.objectives.targets import VariableTarget as VariableTarget
