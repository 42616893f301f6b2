"""Images, in memory or decoded as they are wanted: where they are from, how they are augmented and batched."""

from sluicegate.data.augment import HorizontalFlip as HorizontalFlip
from sluicegate.data.augment import Normalize as Normalize
from sluicegate.data.augment import PadCrop as PadCrop
from sluicegate.data.batches import Batches as Batches
from sluicegate.data.draws import Augment as Augment
from sluicegate.data.images import ImageSet as ImageSet
from sluicegate.data.sources import known_statistics as known_statistics
from sluicegate.data.sources import load as load
from sluicegate.data.sources import stream as stream
from sluicegate.data.spec import DataSpec as DataSpec
from sluicegate.data.streaming import Images as Images
from sluicegate.data.streaming import StreamedBatches as StreamedBatches
from sluicegate.data.streaming import StreamedSet as StreamedSet
from sluicegate.data.streaming import worker_errors as worker_errors
