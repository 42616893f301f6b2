"""What a network costs as a function of its gates."""

from sluicegate.costs.formulas import Term as Term
from sluicegate.costs.formulas import head_macs as head_macs
from sluicegate.costs.formulas import op_term as op_term
from sluicegate.costs.latency import LatencyModel as LatencyModel
from sluicegate.costs.liveness import Liveness as Liveness
from sluicegate.costs.liveness import liveness as liveness
from sluicegate.costs.macs import MacModel as MacModel
from sluicegate.costs.macs import ModuleMacs as ModuleMacs
