"""Published experiments, one small module per paper."""

from sluicegate.recipes.registry import paper as paper
from sluicegate.recipes.registry import recipe as recipe
from sluicegate.recipes.registry import recipes as recipes
