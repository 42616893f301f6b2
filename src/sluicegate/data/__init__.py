"""Images, in memory or decoded as they are wanted: where they are from, how they are augmented and batched."""

from sluicegate.data.augment import HorizontalFlip as HorizontalFlip
from sluicegate.data.augment import Normalize as Normalize
from sluicegate.data.augment import PadCrop as PadCrop
from sluicegate.data.batched import Batched as Batched
from sluicegate.data.batches import Batches as Batches
from sluicegate.data.draws import Augment as Augment
from sluicegate.data.images import ImageSet as ImageSet
from sluicegate.data.scene_draws import SceneAugment as SceneAugment
from sluicegate.data.scene_set import SceneSet as SceneSet
from sluicegate.data.scene_set import load_scenes as load_scenes
from sluicegate.data.scene_set import scenes_folder as scenes_folder
from sluicegate.data.scenes import IGNORE as IGNORE
from sluicegate.data.sets import Images as Images
from sluicegate.data.sources import known_statistics as known_statistics
from sluicegate.data.sources import load as load
from sluicegate.data.sources import stream as stream
from sluicegate.data.spec import DataSpec as DataSpec
from sluicegate.data.streaming import StreamedBatches as StreamedBatches
from sluicegate.data.streaming import StreamedSet as StreamedSet
from sluicegate.data.streaming import worker_errors as worker_errors
