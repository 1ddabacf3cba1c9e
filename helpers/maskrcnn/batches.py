"""Batches for training: label images become tables of objects with a fixed number of rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.maskrcnn.anchors import measure_boxes
from helpers.tiles.orientations import turns

if TYPE_CHECKING:
    from helpers.augment.pipelines import Patches

__all__ = ["detection_batches", "object_table"]


def object_table(
    labels: np.ndarray,
    max_objects: int = 100,
    *,
    classes: Sequence[int] | None = None,
    min_area: int = 1,
) -> dict[str, np.ndarray]:
    """Return boxes and classes of the objects of a label image, in a fixed number of rows.

    Parameters
    ----------
    labels : ndarray of int, YX
        Label image.
    max_objects : int
        Rows. Of more objects the largest are taken, and a warning says so.
    classes : sequence of int, optional
        ``classes[k]`` is the class, from 1 on, of the object with the label k; ``classes[0]`` is
        not used. All are of class 1 when not given.
    min_area : int
        Objects of fewer pixels, such as slivers at the frame, become background.

    Returns
    -------
    dict of ndarray
        ``boxes``, float32, (max_objects, 4); ``classes``, int32, (max_objects,), 0 for empty
        rows; ``labels``, int32, YX, where the object of row k has the number k + 1.

    Raises
    ------
    ValueError
        If `labels` is not an image of whole numbers, or `max_objects` is below 1.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iu" or max_objects < 1:
        raise ValueError(
            f"labels has shape {labels.shape} and dtype {labels.dtype}, max_objects is "
            f"{max_objects}: give a YX image of whole numbers, and at least one row"
        )
    boxes, ids = measure_boxes(labels)
    area = np.bincount(labels.ravel(), minlength=1)[ids]
    keep = np.flatnonzero(area >= min_area)
    if len(keep) > max_objects:
        warnings.warn(
            f"an image holds {len(keep)} objects, but max_objects is {max_objects}: the smallest "
            f"{len(keep) - max_objects} are taught as background. Raise max_objects, or cut "
            "smaller patches.",
            stacklevel=2,
        )
        keep = np.sort(keep[np.argsort(-area[keep], kind="stable")[:max_objects]])
    n = len(keep)
    table = {"boxes": np.zeros((max_objects, 4), np.float32)}
    table["boxes"][:n] = boxes[keep]
    table["classes"] = np.zeros(max_objects, np.int32)
    table["classes"][:n] = 1 if classes is None else np.asarray(classes)[ids[keep]]
    numbers = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
    numbers[ids[keep]] = np.arange(1, n + 1)
    return {**table, "labels": numbers[labels]}


def detection_batches(
    patches: Patches,
    *,
    batch_size: int = 2,
    seed: int = 0,
    max_objects: int = 100,
    min_area: int = 12,
) -> Callable[[int], Iterator[tuple]]:
    """Return the batches of a training, made of patches, turned and flipped.

    Parameters
    ----------
    patches : Patches
        Of :func:`helpers.augment.pipelines.augment_many`; objects cut by the frame count as
        they are seen, so make them with ``cut_objects="keep"``.
    batch_size : int
        Patches in a batch.
    seed : int
        Seed of order and turns.
    max_objects, min_area : int
        As in :func:`object_table`.

    Returns
    -------
    callable
        ``batches(epoch)`` for :func:`helpers.training.fit`: endless ``(images, targets)``, images
        NYXC in 0 to 1, targets a dict of arrays as in :func:`object_table`. Every patch
        comes once before one comes again.

    Raises
    ------
    ValueError
        If there are no patches.
    """
    n = len(patches.images)
    if not n or batch_size < 1:
        raise ValueError(f"got {n} patches and batch_size {batch_size}: give some")
    square = patches.images.shape[1] == patches.images.shape[2]

    def batches(epoch: int) -> Iterator[tuple]:
        rng, order = np.random.default_rng([seed, epoch]), np.empty(0, int)
        ways = turns(2, square=square)
        while True:
            while len(order) < batch_size:
                order = np.concatenate([order, rng.permutation(n)])
            chosen, order = order[:batch_size], order[batch_size:]
            yield _make_batch(patches, [(k, ways[rng.integers(len(ways))]) for k in chosen])

    def _make_batch(patches, chosen):
        images, tables = [], []
        for k, turn in chosen:
            image = patches.images[k].astype(np.float32) / 255
            image = image[..., None] if image.ndim == 2 else image
            images.append(turn.apply(image[None])[0])
            labels = turn.apply(patches.labels[k][None, ..., None])[0, ..., 0]
            tables.append(object_table(labels, max_objects, min_area=min_area))
        return np.stack(images), {name: np.stack([t[name] for t in tables]) for name in tables[0]}

    return batches
