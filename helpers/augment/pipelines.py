"""Random patches for training, changed by imgaug: image and labels together.

:func:`augment_many` makes patches after a :class:`Recipe`: :data:`PUBLISHED` (Zaki et al. 2020)
or :data:`DEFAULT`. Its single steps are public as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from helpers.augment.patches import (
    cut_patch,
    find_cut_objects,
    fit_scales,
    measure_extents,
    separate_pieces,
    to_uint8,
)
from helpers.augment.recipe import ALL_GROUPS, DEFAULT, PUBLISHED, Recipe
from helpers.augment.with_imgaug import augment_pair, default_pipeline, published_pipeline

if TYPE_CHECKING:
    from imgaug.augmenters import Augmenter

__all__ = [
    "ALL_GROUPS",
    "DEFAULT",
    "PUBLISHED",
    "Patches",
    "Recipe",
    "augment_many",
    "augment_pair",
    "default_pipeline",
    "preview_patches",
    "published_pipeline",
    "separate_pieces",
    "to_uint8",
]


class Patches(NamedTuple):
    """What :func:`augment_many` returns.

    Attributes
    ----------
    images : ndarray of uint8, NYX or NYXC
        Grey values; divide by 255 for the network.
    labels : ndarray of int32, NYX
        Numbered from 1 without gaps in each patch.
    weights : ndarray of float32, NYX
        0 on objects cut by the edge of the patch if they are masked, else 1.
    sources : ndarray of int, N
        Which image each patch comes from: split and score by it, for patches overlap.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    sources: np.ndarray


def augment_many(
    images: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    n: int,
    seed: int = 0,
    *,
    workers: int = 1,
    recipe: Recipe | None = None,
) -> Patches:
    """Make random patches of images and labels.

    Parameters
    ----------
    images : sequence of ndarray, YX or YXC
        Training images, any grey values.
    labels : sequence of ndarray of int, YX
        Their label images.
    n : int
        Number of patches. Images, and with the published recipe every factor of every image,
        take turns, so that each is used equally often.
    seed : int
        Seed of all random numbers. Patch k depends on the seed and k alone: not on `n`, nor
        on the number of workers.
    workers : int
        Processes that share the work; more than one pays from some thousand patches on.
    recipe : Recipe, optional
        :data:`DEFAULT` when not given.

    Returns
    -------
    Patches

    Raises
    ------
    ValueError
        If images and labels do not fit each other, or all images are too small.

    Notes
    -----
    For each patch: resize (image linear, labels nearest neighbour) and crop in one step, scale
    to 8 bits by the range of the whole image, one draw of the pipeline, number the pieces of
    objects anew.
    """
    recipe = recipe or DEFAULT
    _check_pairs(images, labels)
    if n < 0 or workers < 1:
        raise ValueError(f"n is {n} and workers {workers}: give 0 or more, and 1 or more")
    maker = _PatchMaker(images, labels, seed, recipe)
    if workers == 1 or n < 2:
        made = [maker(k) for k in range(n)]
    else:
        made = _make_in_processes(maker, n, min(workers, n))
    return _stack(made, recipe.size, images[0])


def preview_patches(
    images: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    n: int = 4,
    seed: int = 0,
    *,
    recipe: Recipe | None = None,
) -> tuple[Patches, Patches]:
    """Make some patches twice: as they are cut out, and as the pipeline changes them.

    Parameters
    ----------
    images, labels, n, seed, recipe
        As in :func:`augment_many`.

    Returns
    -------
    before, after : Patches
        Patch k of both shows the same piece of the same image; `after` is what
        :func:`augment_many` gives. :func:`helpers.viz.fpn.show_augmented` draws them.
    """
    recipe = recipe or DEFAULT
    # "scaling" stays: the piece that is cut out depends on the scale
    bare = replace(recipe, without=(*set(ALL_GROUPS) - {"scaling"}, *recipe.without))
    return tuple(augment_many(images, labels, n, seed, recipe=one) for one in (bare, recipe))


class _PatchMaker:
    """Makes patch k; picklable, so that processes can share the work."""

    def __init__(self, images: Sequence, labels: Sequence, seed: int, recipe: Recipe):
        self.images = [np.asarray(image) for image in images]
        self.labels = [_number_without_gaps(y) for y in labels]
        self.extents = [measure_extents(y) for y in self.labels]
        self.normalizers = [
            recipe.normalizer if recipe.normalizer.constants else recipe.normalizer.fit([image])
            for image in images
        ]
        self.seed, self.recipe = seed, recipe
        self.turns = self._list_turns()

    def _list_turns(self) -> list[tuple[int, tuple[float, ...]]]:
        """List (image, scales to draw from): patch k takes turn k modulo their number."""
        recipe, turns = self.recipe, []
        for source, image in enumerate(self.images):
            fitting = fit_scales(
                image.shape, recipe.size, recipe.used_scales, between=recipe.any_scale
            )
            turns += [(source, one) for one in fitting]
        if not turns:
            largest = max(min(image.shape[:2]) for image in self.images)
            raise ValueError(
                f"size is {recipe.size}, but at none of the scales {recipe.used_scales} an image "
                f"has so many pixels along both axes: at scale 1, {largest} fits"
            )
        return turns

    def __call__(self, k: int) -> tuple:
        """Return image, labels, weights and source of patch k."""
        rng = np.random.default_rng([self.seed, k])
        source, scales = self.turns[k % len(self.turns)]
        scale = float(rng.uniform(*scales)) if len(scales) == 2 else scales[0]
        image, labels, box = cut_patch(
            self.images[source],
            self.labels[source],
            rng,
            size=self.recipe.size,
            scale=scale,
            shoulder=self.recipe.shoulder,
        )
        image = to_uint8(image, self.normalizers[source])
        image, labels = augment_pair(
            image, labels, _cached_pipeline(self.recipe), int(rng.integers(2**31))
        )
        cut = find_cut_objects(self.extents[source], box)[labels]
        if self.recipe.cut_objects == "drop":
            labels = np.where(cut, 0, labels)
        masked = cut & (self.recipe.cut_objects == "mask")
        return image, separate_pieces(labels), (~masked).astype(np.float32), source


@lru_cache(maxsize=4)
def _cached_pipeline(recipe: Recipe) -> Augmenter:
    return recipe.make_pipeline()


_maker: _PatchMaker | None = None  # of this worker process


def _start_worker(maker: _PatchMaker) -> None:
    global _maker
    _maker = maker


def _make_one(k: int) -> tuple:
    return _maker(k)


def _make_in_processes(maker: _PatchMaker, n: int, workers: int) -> list[tuple]:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # fresh processes: a fork of one that runs TensorFlow can hang
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (maker,)) as pool:
        return list(pool.map(_make_one, range(n), chunksize=max(1, n // (8 * workers))))


def _stack(made: list[tuple], size: int, example: np.ndarray) -> Patches:
    if not made:
        shape = (0, size, size)
        images = np.zeros(shape + np.shape(example)[2:], np.uint8)
        return Patches(
            images, np.zeros(shape, np.int32), np.ones(shape, np.float32), np.zeros(0, int)
        )
    return Patches(*(np.stack(column) for column in zip(*made, strict=True)))


def _check_pairs(images: Sequence, labels: Sequence) -> None:
    if not len(images) or len(images) != len(labels):
        raise ValueError(
            f"got {len(images)} images and {len(labels)} label images: give as many of each, at "
            "least one"
        )
    for k, (image, y) in enumerate(zip(images, labels, strict=True)):
        image, y = np.asarray(image), np.asarray(y)
        fits = image.shape[:2] == y.shape and image.ndim in (2, 3) and y.dtype.kind in "iub"
        if not fits or image.shape[2:] != np.shape(images[0])[2:]:
            raise ValueError(
                f"image {k} has shape {image.shape}, its labels {y.shape} and dtype {y.dtype}: "
                "give images YX or YXC, all with equal channels, and labels YX of whole numbers"
            )


def _number_without_gaps(labels: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels)
    numbers = np.unique(
        np.append(labels.ravel(), 0)
    )  # the 0 keeps background 0 where there is none
    return np.searchsorted(numbers, labels).astype(np.int32)
