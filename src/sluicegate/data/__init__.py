"""Images in memory: where they are from, how they are augmented, how they come in batches."""

from sluicegate.data.augment import HorizontalFlip as HorizontalFlip
from sluicegate.data.augment import Normalize as Normalize
from sluicegate.data.augment import PadCrop as PadCrop
from sluicegate.data.batches import Batches as Batches
from sluicegate.data.images import ImageSet as ImageSet
from sluicegate.data.sources import known_statistics as known_statistics
from sluicegate.data.sources import load as load
from sluicegate.data.spec import DataSpec as DataSpec
