"""Training: a recipe in, a run folder out."""

from sluicegate.train.evaluate import Evaluation as Evaluation
from sluicegate.train.evaluate import MacStatistics as MacStatistics
from sluicegate.train.evaluate import evaluate as evaluate
from sluicegate.train.recipe import AugmentRecipe as AugmentRecipe
from sluicegate.train.recipe import DataRecipe as DataRecipe
from sluicegate.train.recipe import MethodRecipe as MethodRecipe
from sluicegate.train.recipe import NetRecipe as NetRecipe
from sluicegate.train.recipe import OptimizerRecipe as OptimizerRecipe
from sluicegate.train.recipe import Recipe as Recipe
from sluicegate.train.recipe import from_yaml as from_yaml
from sluicegate.train.recipe import override as override
from sluicegate.train.recipe import read_recipe as read_recipe
from sluicegate.train.recipe import to_yaml as to_yaml
from sluicegate.train.run import Best as Best
from sluicegate.train.run import Result as Result
from sluicegate.train.run import load_run as load_run
from sluicegate.train.run import read_result as read_result
from sluicegate.train.run import run as run
