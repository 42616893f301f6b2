"""sluicegate: convolutional networks that compute only what each image needs."""

from importlib.util import find_spec as _find_spec

if _find_spec("torch") is not None:  # without it there is `sluicegate.analysis` alone, for reports on files
    from sluicegate.convert import ChannelGating as ChannelGating
    from sluicegate.convert import ExitGating as ExitGating
    from sluicegate.convert import GatedModel as GatedModel
    from sluicegate.convert import GatedOutput as GatedOutput
    from sluicegate.convert import GaterGating as GaterGating
    from sluicegate.convert import JointGating as JointGating
    from sluicegate.convert import LayerGating as LayerGating
    from sluicegate.convert import MacsPerGate as MacsPerGate
    from sluicegate.convert import RecurrentGating as RecurrentGating
    from sluicegate.convert import SharedGating as SharedGating
    from sluicegate.convert import gate_model as gate_model
    from sluicegate.convert import survey as survey
    from sluicegate.costs import LatencyModel as LatencyModel
    from sluicegate.costs import MacModel as MacModel
    from sluicegate.cutting import prune as prune
    from sluicegate.cutting import prune_settled as prune_settled
    from sluicegate.cutting import specialise as specialise
    from sluicegate.errors import InputError as InputError
    from sluicegate.errors import RunError as RunError
    from sluicegate.gates import AlwaysOn as AlwaysOn
    from sluicegate.gates import BinConcrete as BinConcrete
    from sluicegate.gates import ConvHead as ConvHead
    from sluicegate.gates import Ensemble as Ensemble
    from sluicegate.gates import FadingNoise as FadingNoise
    from sluicegate.gates import GateRecord as GateRecord
    from sluicegate.gates import GateRecords as GateRecords
    from sluicegate.gates import GateSite as GateSite
    from sluicegate.gates import GumbelSoftmax as GumbelSoftmax
    from sluicegate.gates import ImprovedSemHash as ImprovedSemHash
    from sluicegate.gates import LearnedLogits as LearnedLogits
    from sluicegate.gates import MemoryHead as MemoryHead
    from sluicegate.gates import PooledHead as PooledHead
    from sluicegate.gates import SaliencyHead as SaliencyHead
    from sluicegate.gates import Stochastic as Stochastic
    from sluicegate.gates import StraightThrough as StraightThrough
    from sluicegate.gates import Threshold as Threshold
    from sluicegate.gates import TopK as TopK
    from sluicegate.lowering import check_exportable as check_exportable
    from sluicegate.lowering import export as export
    from sluicegate.models import load_pretrained as load_pretrained
    from sluicegate.objectives import BatchActivation as BatchActivation
    from sluicegate.objectives import BatchShaping as BatchShaping
    from sluicegate.objectives import ExitTarget as ExitTarget
    from sluicegate.objectives import GateL0 as GateL0
    from sluicegate.objectives import GateL1 as GateL1
    from sluicegate.objectives import LatencyTarget as LatencyTarget
    from sluicegate.objectives import MacTarget as MacTarget
    from sluicegate.objectives import SquaredRates as SquaredRates
    from sluicegate.objectives import TargetRate as TargetRate
    from sluicegate.objectives import VariableTarget as VariableTarget
    from sluicegate.objectives import WeightedSum as WeightedSum
    from sluicegate.objectives import batch_shaping as batch_shaping
else:

    def __getattr__(name: str) -> object:
        raise AttributeError(f"sluicegate.{name} needs torch, which is not installed; pip install 'sluicegate[train]'")
