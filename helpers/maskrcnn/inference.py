"""Objects of an image of any size: detections tile by tile, then one label image."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from helpers.maskrcnn.detections import Detections, paste_labels
from helpers.maskrcnn.merging import merge_detections
from helpers.tiles.windows import plan_windows

__all__ = ["DetectionRule", "change_caps", "detections_to_labels", "find_objects", "segment_image"]


@dataclass(frozen=True)
class DetectionRule:
    """How detections become a label image.

    Parameters
    ----------
    score : float
        Least probability of an object.
    mask_threshold : float
        An object is where its mask is above this.
    iou, contained : float
        Of :func:`helpers.maskrcnn.merging.merge_detections`.
    min_area : int
        Objects with fewer pixels are dropped.
    """

    score: float = 0.5
    mask_threshold: float = 0.5
    iou: float = 0.4
    contained: float = 0.6
    min_area: int = 12


def find_objects(
    model: Callable,
    image: np.ndarray,
    *,
    tile: int = 256,
    overlap: int = 64,
    batch_size: int = 1,
) -> Detections:
    """Return all detections in an image of any size, doubles from overlapping tiles included.

    Parameters
    ----------
    model : MaskRCNN
        Or another callable with ``settings`` and ``predict_on_batch``.
    image : ndarray, YX or YXC
        Normalised as in training.
    tile : int
        Side of the windows that the network sees, a multiple of ``model.settings.divisor``.
    overlap : int
        Pixels that neighbouring windows share at least; more than the largest object, so that
        each is whole in one of them.
    batch_size : int
        Windows at a time; the last batch is filled up.

    Returns
    -------
    Detections
        In pixels of the image.

    Raises
    ------
    ValueError
        If `tile` or `overlap` do not fit.

    Warns
    -----
    UserWarning
        If a window has as many objects as ``settings.max_detections``, or more promising
        anchors than ``settings.candidates``: objects may be missing.
    """
    image = np.asarray(image, np.float32)
    image = image[..., None] if image.ndim == 2 else image
    divisor, shape = model.settings.divisor, image.shape[:2]
    if tile % divisor or not 0 <= overlap < tile:
        raise ValueError(
            f"tile is {tile} and overlap {overlap}: give a multiple of {divisor}, and less overlap "
            "than that"
        )
    sides = tuple(min(tile, -(-n // divisor) * divisor) for n in shape)
    starts = plan_windows(shape, sides, min(overlap, *(n - 1 for n in sides))).starts
    corners = [(max(int(y), 0), max(int(x), 0)) for y, x in product(*starts)]
    margins = [(0, max(side - n, 0)) for side, n in zip(sides, shape, strict=True)]
    padded = np.pad(image, [*margins, (0, 0)], mode="symmetric")
    parts, n_full, n_missed = [], 0, 0
    for k in range(0, len(corners), batch_size):
        chosen = corners[k : k + batch_size]
        batch = np.zeros((batch_size, *sides, image.shape[-1]), np.float32)
        for one, (y, x) in zip(batch, chosen, strict=False):
            one[:] = padded[y : y + sides[0], x : x + sides[1]]
        output = {name: np.asarray(v) for name, v in model.predict_on_batch(batch).items()}
        for i, corner in enumerate(chosen):
            part = _unpack({name: v[i] for name, v in output.items()}, k + i)
            n_full += len(part) >= output["scores"].shape[1]
            n_missed += output["missed"][i] > 0
            parts.append(_place(part, corner, sides, shape))
    _warn(n_full, "as many objects as max_detections allows", "max_detections", model.settings)
    _warn(n_missed, "more promising anchors than candidates", "candidates", model.settings)
    return Detections.join(parts)


def _warn(n_windows: int, what: str, name: str, settings) -> None:
    if n_windows:
        warnings.warn(
            f"{n_windows} windows hold {what} ({getattr(settings, name)}), so objects may be "
            f"missing: use smaller tiles, or change_caps(model, {name}=...), which needs no new "
            "training.",
            stacklevel=3,
        )


def _unpack(output: dict, tile: int) -> Detections:
    """Return the rows that hold an object."""
    used = output["scores"] > 0
    values = [output[name][used] for name in ("boxes", "scores", "classes", "masks")]
    n = int(used.sum())
    return Detections(*values, np.ones(n, bool), np.full(n, tile, np.int32))


def _place(part: Detections, corner, sides, shape) -> Detections:
    """Move detections of a window to their place, and note which ones its sides cut."""
    boxes, whole = part.boxes.copy(), part.whole.copy()
    for axis, (start, side, n) in enumerate(zip(corner, sides, shape, strict=True)):
        whole &= (boxes[:, axis] > 1) | (start == 0)
        whole &= (boxes[:, axis + 2] < side - 1) | (start + side >= n)
        boxes[:, [axis, axis + 2]] += start
    moved = replace(part, boxes=boxes, whole=whole)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2  # mirrored objects lie beyond the frame
    return moved.take(np.all(centers < shape, axis=1))


def detections_to_labels(
    found: Detections, shape: tuple[int, int], rule: DetectionRule | None = None
) -> np.ndarray:
    """Turn detections into a label image.

    Parameters
    ----------
    found : Detections
        Of :func:`find_objects`.
    shape : tuple of int
        Rows and columns of the image.
    rule : DetectionRule, optional
        Thresholds.

    Returns
    -------
    ndarray of int32, YX
        Label image, numbered from 1 without gaps.
    """
    rule = rule or DetectionRule()
    kept = merge_detections(
        found.take(found.scores >= rule.score),
        shape,
        iou=rule.iou,
        contained=rule.contained,
        mask_threshold=rule.mask_threshold,
    )
    options = dict(mask_threshold=rule.mask_threshold, min_area=rule.min_area)
    return paste_labels(kept, shape, **options)


def segment_image(
    model: Callable, image: np.ndarray, *, rule: DetectionRule | None = None, **options
) -> np.ndarray:
    """Return the label image of an image of any size.

    Parameters
    ----------
    model, image
        As in :func:`find_objects`.
    rule : DetectionRule, optional
        Thresholds, such as those of :func:`helpers.maskrcnn.validation.tune_rule`.
    **options
        Those of :func:`find_objects`.

    Returns
    -------
    ndarray of int32, YX
        Label image, numbered from 1 without gaps.
    """
    found = find_objects(model, image, **options)
    return detections_to_labels(found, np.shape(image)[:2], rule)


def change_caps(model, **numbers):
    """Return the same network with other limits of prediction.

    Parameters
    ----------
    model : MaskRCNN
        A trained network.
    **numbers
        Of :class:`helpers.maskrcnn.settings.Settings`, those without weights: such as
        ``max_detections``, ``proposals``, ``candidates``, ``score``, ``detection_nms``.

    Returns
    -------
    MaskRCNN
        With copies of the weights.
    """
    changed = type(model)(replace(model.settings, **numbers), seed=model.seed)
    changed.set_weights(model.get_weights())
    return changed
