"""The images that a recipe names."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from sluicegate.data import (
    Augment,
    DataSpec,
    Images,
    SceneAugment,
    SceneSet,
    known_statistics,
    load,
    load_scenes,
    scenes_folder,
    stream,
)
from sluicegate.errors import InputError
from sluicegate.train.outputs import as_outputs
from sluicegate.train.recipe import AugmentRecipe, DataRecipe
from sluicegate_runtime.preprocess import parse_preprocessing

HOLDOUT_SEED = 0  # seed of the held-out images, the same for all recipes


class ImageSets(NamedTuple):
    """The images to train on, and those to measure on."""

    train: Images
    test: Images


def load_images(recipe: DataRecipe, root: str | os.PathLike[str] | None) -> ImageSets:
    """Both halves of a recipe's data set (see `load_split`)."""
    return ImageSets(load_split(recipe, "train", root), load_split(recipe, "test", root))


def load_split(recipe: DataRecipe, split: Literal["train", "test"], root: str | os.PathLike[str] | None) -> Images:
    """One half of a recipe's data set; `root` is `--data-dir`.

    Raises:
        InputError: no such data set, or its files are not found, or fewer images than are to be held out.
        RunError: a file is damaged.
    """
    limit = recipe.limit_train if split == "train" else recipe.limit_test
    source = "train" if recipe.holdout else split
    first = recipe.limit_train if recipe.holdout else limit
    augment = recipe.augment if split == "train" else AugmentRecipe()
    images = _read(recipe, augment, source, None if root is None else Path(root), first)
    if recipe.holdout:
        images = _half(images, split, recipe.holdout, recipe.limit_test)
    if recipe.outputs is not None and recipe.output_count is not None:
        images = as_outputs(images, recipe.outputs, recipe.output_count)
    if recipe.normalize is None:
        return images
    mean, std = _statistics(recipe.normalize, images.shape[0])
    return replace(images, mean=mean, std=std)


def _read(recipe: DataRecipe, augment: AugmentRecipe, split: str, root: Path | None, limit: int | None) -> Images:
    if (folder := scenes_folder(recipe.name, root)) is not None:
        return _read_scenes(recipe, augment, folder, split, limit)
    _refuse(augment, ("crop", "scale"), "images with masks")
    if recipe.workers is None:
        return load(recipe.name, split, root, limit, recipe.size)
    try:
        drawn = Augment(augment.crop_scale, augment.flip, augment.jitter, augment.rand_augment)
    except InputError as error:
        raise InputError(f"data.augment: {error}") from error
    return stream(recipe.name, split, root, limit, recipe.size, recipe.workers, drawn)


def _read_scenes(recipe: DataRecipe, augment: AugmentRecipe, folder: Path, split: str, limit: int | None) -> SceneSet:
    _refuse(
        augment, ("pad_crop", "crop_scale", "jitter", "rand_augment"), "images with one label; masks have crop, scale"
    )
    try:
        drawn = SceneAugment(augment.crop, augment.scale or (1.0, 1.0), augment.flip)
    except InputError as error:
        raise InputError(f"data.augment: {error}") from error
    changed = drawn if drawn != SceneAugment() else None
    return load_scenes(folder, split, limit, recipe.size, recipe.workers, changed)


def _refuse(augment: AugmentRecipe, names: Sequence[str], whose: str) -> None:
    for name in names:
        if (given := getattr(augment, name)) != getattr(AugmentRecipe(), name):
            raise InputError(f"data.augment.{name}: {given} is for {whose}")


def _statistics(text: str, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std by a name, or as numbers: "0.5,0.5,0.5/0.25,0.25,0.25"."""
    if "/" in text:
        given = parse_preprocessing(text)
        found = (given.mean, given.std)
    else:
        found = known_statistics(text)
    if len(found[0]) != channels:
        raise InputError(f"data.normalize: {text!r} is not of {channels} channels, which the images have")
    return found


def _half(images: Images, split: str, holdout: int, limit_test: int | None) -> Images:
    """The training images but for those that are held out, or these."""
    if holdout >= len(images):
        raise InputError(f"data.holdout: {holdout} must be less than the {len(images)} training images")
    order = torch.from_numpy(np.random.default_rng(HOLDOUT_SEED).permutation(len(images)))
    return images.subset(order[holdout:] if split == "train" else order[:holdout][:limit_test])


def as_trained_on(images: Images, spec: DataSpec) -> Images:
    """The images with the mean and std that the network was trained with.

    Raises:
        InputError: they are of other classes.
    """
    if images.classes != spec.classes:
        only = sorted(set(images.classes) ^ set(spec.classes))
        what = f"{only[0]!r} is one of either only" if only else "their order differs"
        raise InputError(f"data: its classes are not those of the run: {what}")
    return replace(images, mean=spec.mean, std=spec.std) if images.shape[0] == spec.shape[0] else images
