"""What a network must know of a data set. Shapes: C channels, H x W pixels."""

from dataclasses import dataclass

from sluicegate.errors import InputError


@dataclass(frozen=True)
class DataSpec:
    """A data set without its images: enough to build, export and run a network for it.

    Attributes:
        shape: C, H and W of an image.
        classes: a name for each class.
        mean: the mean of each channel over the training images, with pixels from 0 to 1.
        std: their standard deviation.

    Raises:
        InputError: mean or std have not one figure for each channel, or a std is not above 0.
    """

    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.std) == self.shape[0]:
            raise InputError(f"mean, std: {self.mean}, {self.std} must have {self.shape[0]} channels each")
        if not all(value > 0 for value in self.std):
            raise InputError(f"std: {self.std} must be above 0")

    @property
    def spec(self) -> "DataSpec":
        """Itself, so that a set and its description are asked alike."""
        return self
