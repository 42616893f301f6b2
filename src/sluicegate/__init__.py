"""sluicegate: convolutional networks that compute only what each image needs."""

from sluicegate.convert import ChannelGating as ChannelGating
from sluicegate.convert import GatedModel as GatedModel
from sluicegate.convert import GatedOutput as GatedOutput
from sluicegate.convert import JointGating as JointGating
from sluicegate.convert import LayerGating as LayerGating
from sluicegate.convert import gate_model as gate_model
from sluicegate.costs import MacModel as MacModel
from sluicegate.errors import InputError as InputError
from sluicegate.errors import RunError as RunError
from sluicegate.export import export as export
from sluicegate.gates import AlwaysOn as AlwaysOn
from sluicegate.gates import BinConcrete as BinConcrete
from sluicegate.gates import GateRecord as GateRecord
from sluicegate.gates import GateRecords as GateRecords
from sluicegate.gates import GateSite as GateSite
from sluicegate.gates import GumbelSoftmax as GumbelSoftmax
from sluicegate.gates import PooledHead as PooledHead
from sluicegate.gates import Stochastic as Stochastic
from sluicegate.gates import StraightThrough as StraightThrough
from sluicegate.gates import Threshold as Threshold
