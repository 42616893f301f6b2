"""The published methods as presets: which gates a network gets, and which losses train them.

A preset is a few lines that compose parts of `convert`, `gates` and `objectives`. Its arguments are the settings of the
method, plain numbers and names, so that they can be written in a recipe's YAML.
"""

from collections.abc import Callable

from sluicegate.methods.channels import batch_shaping as batch_shaping
from sluicegate.methods.channels import budgeted as budgeted
from sluicegate.methods.channels import fbs as fbs
from sluicegate.methods.channels import stochastic_gates as stochastic_gates
from sluicegate.methods.exits import early_exits as early_exits
from sluicegate.methods.joint import channel_only as channel_only
from sluicegate.methods.joint import combined as combined
from sluicegate.methods.joint import dlcg as dlcg
from sluicegate.methods.layers import convnet_aig as convnet_aig
from sluicegate.methods.layers import skipnet as skipnet
from sluicegate.methods.method import EstimatorName as EstimatorName
from sluicegate.methods.method import Method as Method
from sluicegate.methods.method import Weight as Weight
from sluicegate.methods.method import dense as dense
from sluicegate.methods.second_network import gaternet as gaternet

PRESETS: dict[str, Callable[..., Method]] = {
    "dense": dense,
    "dlcg": dlcg,
    "combined": combined,
    "channel_only": channel_only,
    "convnet_aig": convnet_aig,
    "batch_shaping": batch_shaping,
    "stochastic_gates": stochastic_gates,
    "early_exits": early_exits,
    "fbs": fbs,
    "gaternet": gaternet,
    "skipnet": skipnet,
    "budgeted": budgeted,
}
"""What a recipe's `method.name` may say."""
