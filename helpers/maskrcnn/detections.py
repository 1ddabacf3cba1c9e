"""Detected objects of an image, and their masks as pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

__all__ = ["Detections", "describe_labels", "paste_labels", "paste_mask"]


@dataclass(frozen=True, eq=False)
class Detections:
    """Objects found in one image, in any order.

    Attributes
    ----------
    boxes : ndarray of float32, (n, 4)
        ``(y1, x1, y2, x2)`` in pixels of the image.
    scores : ndarray of float32, (n,)
        Probability of the class.
    classes : ndarray of int32, (n,)
        From 1 on.
    masks : ndarray of float32, (n, S, S)
        Probability of each part of the box to belong to the object.
    whole : ndarray of bool, (n,)
        False where the side of a tile cuts the object.
    tiles : ndarray of int32, (n,)
        Number of the tile in which each was found.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    masks: np.ndarray
    whole: np.ndarray
    tiles: np.ndarray

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.boxes)

    def take(self, chosen) -> Detections:
        """Return some of the objects: numbers, or True and False for each."""
        return Detections(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @staticmethod
    def join(parts: Sequence[Detections]) -> Detections:
        """Return the objects of all parts."""
        names = [field.name for field in fields(Detections)]
        return Detections(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def describe_labels(labels: np.ndarray, size: int = 28) -> Detections:
    """Return the true objects as a perfect network would: what boxes and masks can express.

    Parameters
    ----------
    labels : ndarray of int, YX
        Label image.
    size : int
        Rows and columns of the masks.

    Returns
    -------
    Detections
        All with score 1. Drawn by :func:`paste_labels`, they show the limit that `size` sets.
    """
    from keras import ops

    from helpers.maskrcnn.anchors import measure_boxes
    from helpers.maskrcnn.roi_align import read_labels

    boxes, ids = measure_boxes(labels)
    masks = read_labels(
        labels[None].astype(np.int32), ids[None].astype(np.int32), boxes[None], size
    )
    masks = ops.convert_to_numpy(masks)[0]
    ones = np.ones(len(ids), np.int32)
    return Detections(boxes, ones.astype(np.float32), ones, masks, ones > 0, ones - 1)


def paste_mask(
    mask: np.ndarray, box: np.ndarray, shape: tuple[int, int]
) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return the probabilities of the pixels in a box.

    Parameters
    ----------
    mask : ndarray of float, (S, S)
        Probability at the centres of S x S equal parts of the box.
    box : ndarray of float, (4,)
        ``(y1, x1, y2, x2)``, fractions of pixels allowed.
    shape : tuple of int
        Rows and columns of the image.

    Returns
    -------
    place : tuple of slice
        Rows and columns of the image that the box touches.
    probability : ndarray of float32
        Bilinear at the centres of these pixels; 0 for centres outside of the box.

    Notes
    -----
    The inverse of :func:`helpers.maskrcnn.roi_align.read_labels`. Boxes are not rounded, so an
    outline is as fine as the network draws it.
    """
    sides = [(float(box[k]), float(box[k + 2]), shape[k]) for k in (0, 1)]
    (rows, down), (columns, across) = (_interpolate(*side, mask.shape[0]) for side in sides)
    return (rows, columns), down @ mask @ across.T


def _interpolate(start: float, stop: float, n: int, size: int) -> tuple[slice, np.ndarray]:
    """Return pixels along an axis, and the weights of the mask's rows for each of them."""
    first, last = max(int(np.floor(start)), 0), min(int(np.ceil(stop)), n)
    centers = np.arange(first, max(first, last)) + 0.5
    inside = (centers >= start) & (centers <= stop)
    place = (centers - start) / max(stop - start, 1e-6) * size - 0.5
    place = np.clip(place, 0, size - 1)
    weights = np.maximum(1 - np.abs(place[:, None] - np.arange(size)), 0)
    return slice(first, max(first, last)), (weights * inside[:, None]).astype(np.float32)


def paste_labels(
    found: Detections,
    shape: tuple[int, int],
    *,
    mask_threshold: float = 0.5,
    min_area: int = 0,
) -> np.ndarray:
    """Draw all objects into one label image.

    Parameters
    ----------
    found : Detections
        Best without doubles, see :func:`helpers.maskrcnn.merging.merge_detections`.
    shape : tuple of int
        Rows and columns of the image.
    mask_threshold : float
        An object is where its mask is above this.
    min_area : int
        Objects that get fewer pixels are left out.

    Returns
    -------
    ndarray of int32, YX
        Numbered from 1 without gaps. A pixel that several objects claim belongs to the one
        whose mask has the highest probability there.
    """
    labels, highest = np.zeros(shape, np.int32), np.full(shape, mask_threshold, np.float32)
    for k, (mask, box) in enumerate(zip(found.masks, found.boxes, strict=True), start=1):
        place, probability = paste_mask(mask, box, shape)
        claims = probability > highest[place]
        labels[place][claims] = k
        highest[place][claims] = probability[claims]
    areas = np.bincount(labels.ravel(), minlength=len(found) + 1)
    keep = areas >= max(min_area, 1)
    keep[0] = False
    return (np.cumsum(keep) * keep).astype(np.int32)[labels]
