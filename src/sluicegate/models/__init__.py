"""Trained networks, ready to use: from the package, from a folder, or from the Hugging Face hub.

Each is a run folder without the files that only training needs, as `sluicegate release` writes it: recipe.yaml,
data.json, result.json, final.safetensors, and README.md, its card.
"""

from sluicegate.models.pretrained import find_pretrained as find_pretrained
from sluicegate.models.pretrained import load_pretrained as load_pretrained
from sluicegate.models.pretrained import released as released
