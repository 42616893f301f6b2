"""Data sets by name: where they are looked for, what they hold, and what is said where they are not."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from sluicegate.data import known_statistics, load, sources
from sluicegate.errors import InputError


def write_folder(folder: Path, members: dict[str, tuple[int, int]], mode: str = "RGB") -> None:
    """A picture for each `split/class/file.png`, all black, of the given width and height."""
    for name, size in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size).save(folder / name)


def test_digits_are_whole_and_split_evenly() -> None:
    train, test = load("digits", "train"), load("digits", "test")
    assert len(train) + len(test) == 1797
    assert train.images.shape[1:] == test.images.shape[1:] == (1, 32, 32)
    assert train.classes == tuple("0123456789")
    shares = test.labels.bincount() / (train.labels.bincount() + test.labels.bincount())
    assert ((shares > 0.19) & (shares <= 0.2)).all()  # every fifth of a class, rounded down


def test_digits_use_the_whole_range_and_their_statistics_are_the_training_images() -> None:
    train, test = load("digits", "train"), load("digits", "test")
    pixels = train.images / 255
    assert (int(train.images.min()), int(train.images.max())) == (0, 255)
    assert train.mean == test.mean and train.std == test.std
    # 1,000 of 1,442 images are measured; their mean differs by less than a tenth of the standard deviation
    assert pixels.mean().item() == pytest.approx(train.mean[0], abs=0.1 * train.std[0])
    assert pixels.std().item() == pytest.approx(train.std[0], rel=0.05)


def test_size_and_limit() -> None:
    small = load("digits", "train", size=8, limit=50)
    assert small.images.shape == (50, 1, 8, 8)
    whole = load("digits", "train", size=8)
    assert torch.equal(small.images, whole.images[torch.arange(50) * len(whole) // 50])
    assert small.mean == whole.mean
    assert len(load("digits", "test", limit=10**6)) == len(load("digits", "test"))


def test_lookup_prefers_the_root_then_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, size in (("root", 4), ("environment/cifar10", 5)):
        write_folder(tmp_path / place, {"train/cat/1.png": (size, size)})
    monkeypatch.setenv("SLUICEGATE_DATA", str(tmp_path / "environment"))
    assert load("cifar10", "train", data_dir=tmp_path / "root").images.shape[2] == 4
    assert load("cifar10", "train", data_dir=tmp_path / "environment").images.shape[2] == 5
    assert load("cifar10", "train").images.shape[2] == 5


def test_the_hub_is_asked_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def snapshot(repository: str, **options: str) -> str:
        asked.append((repository, options))
        return str(tmp_path)

    write_folder(tmp_path, {"train/cat/1.png": (6, 6)})
    monkeypatch.delenv("SLUICEGATE_DATA", raising=False)
    monkeypatch.setattr(sources.huggingface_hub, "snapshot_download", snapshot)
    assert load("cifar10", "train").images.shape == (1, 3, 6, 6)
    assert asked == [("uoft-cs/cifar10", {"repo_type": "dataset", "allow_patterns": "*.parquet"})]


def test_where_nothing_has_it_one_line_says_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise ConnectionError("no\nnetwork")

    monkeypatch.delenv("SLUICEGATE_DATA", raising=False)
    monkeypatch.setattr(sources.huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(InputError) as caught:
        load("mnist", "test")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("data: 'mnist' is not in $SLUICEGATE_DATA (not set)")
    assert "(no network)" in message and "--data-dir" in message and "put mnist/ into" in message


def test_an_unknown_name_lists_the_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLUICEGATE_DATA", raising=False)
    with pytest.raises(InputError, match=r"^data: 'cifar11' is not a data set; known: digits, cifar10, cifar100"):
        load("cifar11", "train")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "split: 'dev' must be 'train' or 'test'"),
        ({"limit": 0}, "limit: 0 must be 1 or more"),
        ({"size": -1}, "size: -1 must be 1 or more"),
    ],
)
def test_a_bad_argument_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        load("digits", **{"split": "train", **arguments})


def test_a_missing_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^data_dir: '.*nowhere' is not a folder, but must hold pets$"):
        load("pets", "train", data_dir=tmp_path / "nowhere")


def test_known_statistics() -> None:
    assert known_statistics("imagenet") == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert len(known_statistics("fashion_mnist")[0]) == 1
    with pytest.raises(InputError, match="normalize: 'pets' has no known mean and std; known: cifar10"):
        known_statistics("pets")


@pytest.mark.data
def test_cifar10_is_whole(data_root: Path) -> None:
    test = load("cifar10", "test", data_dir=data_root)
    assert test.images.shape == (10000, 3, 32, 32)
    assert test.classes[:3] == ("airplane", "automobile", "bird")
    assert test.labels.bincount().tolist() == [1000] * 10


@pytest.mark.data
@pytest.mark.slow
def test_cifar10_has_the_published_statistics(data_root: Path) -> None:
    train = load("cifar10", "train", data_dir=data_root)
    assert len(train) == 50000
    pixels = train.images / 255
    mean, std = known_statistics("cifar10")
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx(mean, abs=5e-5)  # as they are rounded
    assert pixels.std((0, 2, 3)).tolist() == pytest.approx(std, abs=5e-5)


@pytest.mark.data
def test_imagenette_is_cropped_and_keeps_every_class(data_root: Path) -> None:
    test = load("imagenette160", "test", data_dir=data_root, size=64, limit=30)
    assert test.images.shape == (30, 3, 64, 64)
    assert test.labels.bincount().tolist() == [3] * 10
