"""What a network costs as a function of its gates."""

from sluicegate.costs.flags import ALWAYS_CLOSED as ALWAYS_CLOSED
from sluicegate.costs.flags import ALWAYS_OPEN as ALWAYS_OPEN
from sluicegate.costs.flags import BY_IMAGE as BY_IMAGE
from sluicegate.costs.flags import FlagNumbers as FlagNumbers
from sluicegate.costs.flags import Settled as Settled
from sluicegate.costs.latency import LatencyModel as LatencyModel
from sluicegate.costs.liveness import Liveness as Liveness
from sluicegate.costs.liveness import liveness as liveness
from sluicegate.costs.macs import MacModel as MacModel
from sluicegate.costs.macs import ModuleMacs as ModuleMacs
from sluicegate.costs.terms import Term as Term
