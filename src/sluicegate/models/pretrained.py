"""Find and load released networks. The libraries for training take seconds to import, so they are imported late."""

from pathlib import Path

import huggingface_hub
from torch import nn

from sluicegate.errors import InputError, one_line

_RELEASED = Path(__file__).parent / "released"
_FILES = ("recipe.yaml", "data.json", "result.json", "final.safetensors", "README.md")


def released() -> tuple[str, ...]:
    """Names of the trained networks that come with the package."""
    return tuple(sorted(folder.name for folder in _RELEASED.iterdir() if (folder / "recipe.yaml").is_file()))


def find_pretrained(name: str) -> Path:
    """The folder of a trained network. Every function and verb that takes a run folder accepts it.

    Args:
        name: one of `released()`, a folder, or a repository of the Hugging Face hub, such as "someone/resnet20-half".

    Raises:
        InputError: there is no such network, or the hub does not give it.

    Example:
        >>> spec = read_run_spec(find_pretrained("resnet8-digits"))
        >>> spec.shape
        (1, 32, 32)
    """
    if name in released():
        return _RELEASED / name
    if Path(name).is_dir():
        return Path(name)
    if name.count("/") == 1:
        return _download(name)
    raise InputError(f"name: {name!r} is none of {', '.join(released())}, no folder, and no OWNER/NAME of the hub")


def load_pretrained(name: str) -> nn.Module:
    """A trained network, in evaluation: [N, C, H, W], normalised -> [N, K].

    Args:
        name: as for `find_pretrained`, whose folder holds the mean and std of its images, too (`read_run_spec`).

    Raises:
        InputError: there is no such network; or a network from the hub needs code that is not in this package,
            torchvision or timm.
        RunError: its weights cannot be read.

    Example:
        >>> net = load_pretrained("resnet8-digits")
        >>> net(torch.zeros(1, 1, 32, 32)).shape
        torch.Size([1, 10])
    """
    from sluicegate.train import load_run

    folder = find_pretrained(name)
    if not _is_here(name):
        _refuse_foreign(name, folder)
    return load_run(folder)[1]


def _is_here(name: str) -> bool:
    return name in released() or Path(name).is_dir()


def _download(name: str) -> Path:
    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(_FILES)))
    except Exception as error:  # the hub's client has no common base class for what can go wrong on the way
        raise InputError(f"name: the hub has no {name!r}, or cannot be reached: {one_line(error)}") from error


def _refuse_foreign(name: str, folder: Path) -> None:
    """A recipe may name any function as its network. A recipe from the hub must not choose which code runs here."""
    from sluicegate.train import read_run_recipe

    library = read_run_recipe(folder).net.name.rpartition(":")[0]
    if library not in ("", "torchvision", "timm"):
        raise InputError(
            f"name: {name!r} needs code of {library!r}, which is not run from the hub; download it and give its folder"
        )
