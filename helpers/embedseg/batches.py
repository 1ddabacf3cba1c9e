"""Batches of crops for the training of EmbedSeg, augmented while the network learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from helpers.augment.basic import vary_intensity
from helpers.embedseg.crops import CropSource
from helpers.tiles.orientations import turns

__all__ = ["crop_batches"]


def crop_batches(
    source: CropSource,
    *,
    batch_size: int,
    background: float = 0.1,
    augment: bool = True,
    vary: bool = False,
    seed: int | Sequence[int] = 0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches of crops without end.

    Parameters
    ----------
    source : CropSource
        Where to cut.
    batch_size : int
        Crops in a batch.
    background : float
        Share of crops around a background pixel instead of an object.
    augment : bool
        Turn each crop in one of 8 (2D) or 16 (3D) ways; half as many where Y and X differ.
        False for validation: then every pass has the same crops in the same order.
    vary : bool
        Also vary brightness and noise (`helpers.augment.vary_intensity`).
    seed : int or sequence of int
        ``[seed, epoch]`` gives each epoch its own order.

    Yields
    ------
    images : ndarray of float32, NYXC or NZYXC
        Crops.
    targets : ndarray of int32, NYX2 or NZYX2
        Labels (-1 not annotated) and centre map, as `EmbedSegLoss` takes them.

    Raises
    ------
    ValueError
        If `batch_size` or `background` is impossible.

    Notes
    -----
    Each pass visits all objects once in random order, so an image counts as often as it has
    objects; an image without objects occurs in background crops alone.
    """
    if batch_size < 1 or not 0 <= background <= 1:
        raise ValueError(
            f"batch_size={batch_size}, background={background}: need batch_size of at least 1 "
            "and background from 0 to 1"
        )
    return _endless_batches(source, batch_size, background, (augment, vary), seed)


def _endless_batches(source, batch_size, background, changes, seed):
    rng = np.random.default_rng(seed)
    places = _endless_places(source, background, rng, shuffle=changes[0])
    while True:
        crops = [_change(source.cut(*next(places), rng), changes, rng) for _ in range(batch_size)]
        yield tuple(np.stack(arrays) for arrays in zip(*crops, strict=True))


def _endless_places(source, background, rng, *, shuffle):
    while True:
        if not source.objects:
            yield source.draw_background(rng)
        n = len(source.objects)
        for k in rng.permutation(n) if shuffle else range(n):
            while rng.random() < background:
                yield source.draw_background(rng)
            yield source.objects[k]


def _change(crop: tuple, changes: tuple[bool, bool], rng: np.random.Generator) -> tuple:
    image, labels, centers = crop
    augment, vary = changes
    target = np.stack([labels, centers], axis=-1).astype(np.int32)
    if augment:
        several = turns(labels.ndim, square=labels.shape[-1] == labels.shape[-2])
        turn = several[rng.integers(len(several))]
        image, target = (turn.apply(array[None])[0] for array in (image, target))
    return vary_intensity(image, rng) if vary else image, target
