"""Plain network -> gated network."""

from sluicegate.convert.exits import ClassifierFactory as ClassifierFactory
from sluicegate.convert.exits import ExitGating as ExitGating
from sluicegate.convert.exits import exit_classifier as exit_classifier
from sluicegate.convert.gater import GATER as GATER
from sluicegate.convert.gater import GaterGating as GaterGating
from sluicegate.convert.gating import ChannelGating as ChannelGating
from sluicegate.convert.gating import Gating as Gating
from sluicegate.convert.gating import HeadFactory as HeadFactory
from sluicegate.convert.gating import JointGating as JointGating
from sluicegate.convert.gating import LayerGating as LayerGating
from sluicegate.convert.gating import Placement as Placement
from sluicegate.convert.gating import SharedGating as SharedGating
from sluicegate.convert.granularity import MacsPerGate as MacsPerGate
from sluicegate.convert.insert import gate_model as gate_model
from sluicegate.convert.model import GatedModel as GatedModel
from sluicegate.convert.model import GatedOutput as GatedOutput
from sluicegate.convert.recurrent import RecurrentGating as RecurrentGating
from sluicegate.convert.survey import Survey as Survey
from sluicegate.convert.survey import closable as closable
from sluicegate.convert.survey import survey as survey
