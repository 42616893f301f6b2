"""Every kind of set that can be trained on."""

from sluicegate.data.images import ImageSet
from sluicegate.data.scene_set import SceneSet
from sluicegate.data.streaming import StreamedSet

Images = ImageSet | StreamedSet | SceneSet
"""Labelled images, held in memory or decoded as they are wanted; of scenes the labels are masks."""
