"""The parts of a recipe that say what is learned, and from which images."""

from dataclasses import dataclass

from sluicegate.errors import InputError
from sluicegate.tasks import TaskName
from sluicegate.train.ranges import at_least


@dataclass(frozen=True)
class TaskRecipe:
    """What a network is trained for (`sluicegate.tasks`). `auxiliary`: of segmentation, the weight of the auxiliary
    head's loss."""

    name: TaskName = "classification"
    auxiliary: float = 0.4

    def __post_init__(self) -> None:
        at_least("task.auxiliary", self.auxiliary, 0)


@dataclass(frozen=True)
class AugmentRecipe:
    """Random changes to the training images, drawn for each image: `pad_crop` pixels of padding, `flip` left-right.

    `crop_scale`, `jitter` and `rand_augment` are those of `sluicegate.data.Augment`, and need `data.workers`. `crop` (h
    and w) and `scale` are those of `sluicegate.data.SceneAugment`: of images with masks, which have `flip` besides.
    """

    pad_crop: int = 0
    flip: bool = False
    crop_scale: tuple[float, float] | None = None
    jitter: float = 0.0
    rand_augment: int | None = None
    crop: tuple[int, int] | None = None
    scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        at_least("data.augment.pad_crop", self.pad_crop, 0)


@dataclass(frozen=True)
class DataRecipe:
    """A data set and its batches. `batch_size` is that of all processes together, `size` that of images after they are
    resized and cropped; images with masks are resized to it by their shorter side, and not cropped.

    `normalize`: whose mean and std to use, where a trained network wants those: `imagenet`, a known data set, or the
    numbers, "0.5,0.5,0.5/0.25,0.25,0.25"; the set's own if None. `holdout`: so many training images, drawn once for
    all, are measured on in place of the test images and not trained on: settings are chosen on them. `workers`: of a
    set larger than memory, how many processes decode it while it is used; None: it is held in memory. `outputs`: for a
    network of more outputs (`output_count`) than the set has classes, which output stands for each class.
    """

    name: str
    batch_size: int = 256
    augment: AugmentRecipe = AugmentRecipe()
    limit_train: int | None = None
    limit_test: int | None = None
    size: int | None = None
    normalize: str | None = None
    holdout: int | None = None
    workers: int | None = None
    outputs: tuple[int, ...] | None = None
    output_count: int | None = None

    def __post_init__(self) -> None:
        at_least("data.batch_size", self.batch_size, 1)
        if self.workers is not None:
            at_least("data.workers", self.workers, 0)
        for name, none in (("crop_scale", None), ("jitter", 0), ("rand_augment", None)):
            if self.workers is None and (given := getattr(self.augment, name)) != none:
                raise InputError(f"data.augment.{name}: {given} needs data.workers, which apply it")
        if (self.outputs is None) != (self.output_count is None):
            raise InputError(
                f"data: outputs {self.outputs}, output_count {self.output_count}; both must be given, or none"
            )
        for name in ("limit_train", "limit_test", "size", "holdout"):
            if getattr(self, name) is not None:
                at_least(f"data.{name}", getattr(self, name), 1)
