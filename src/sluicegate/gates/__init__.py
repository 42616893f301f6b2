"""Gates: head (features to logits), estimator (logits to decisions), strategy (how a trained gate decides)."""

from sluicegate.gates.estimators import BinConcrete as BinConcrete
from sluicegate.gates.estimators import Estimator as Estimator
from sluicegate.gates.estimators import GumbelSoftmax as GumbelSoftmax
from sluicegate.gates.estimators import ImprovedSemHash as ImprovedSemHash
from sluicegate.gates.estimators import StraightThrough as StraightThrough
from sluicegate.gates.estimators import TopK as TopK
from sluicegate.gates.gate import OPEN_LOGIT as OPEN_LOGIT
from sluicegate.gates.gate import Decision as Decision
from sluicegate.gates.gate import Gate as Gate
from sluicegate.gates.heads import Constant as Constant
from sluicegate.gates.heads import FreeLogits as FreeLogits
from sluicegate.gates.heads import Head as Head
from sluicegate.gates.heads import PooledHead as PooledHead
from sluicegate.gates.heads import SaliencyHead as SaliencyHead
from sluicegate.gates.mask import mask_channels as mask_channels
from sluicegate.gates.mask import mask_layer as mask_layer
from sluicegate.gates.record import GateRecord as GateRecord
from sluicegate.gates.record import GateRecords as GateRecords
from sluicegate.gates.record import GateSite as GateSite
from sluicegate.gates.record import SiteKind as SiteKind
from sluicegate.gates.strategy import AlwaysOn as AlwaysOn
from sluicegate.gates.strategy import Ensemble as Ensemble
from sluicegate.gates.strategy import Stochastic as Stochastic
from sluicegate.gates.strategy import Strategy as Strategy
from sluicegate.gates.strategy import Threshold as Threshold
