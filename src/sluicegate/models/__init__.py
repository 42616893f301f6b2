"""Trained networks, ready to use: those that come with the package, of a folder, or of the Hugging Face hub.

Each is a run's folder without what only training needs, as `sluicegate release` writes it: recipe.yaml, data.json,
result.json, final.safetensors, and README.md, its card.
"""

from sluicegate.models.pretrained import find_pretrained as find_pretrained
from sluicegate.models.pretrained import load_pretrained as load_pretrained
from sluicegate.models.pretrained import released as released
