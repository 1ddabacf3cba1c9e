"""What the methods learn from a label image: classes, distance, border, offsets to centres.

Star distances, the target of StarDist, come from ``stardist.geometry.star_dist``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage, signal

__all__ = ["border_ridge", "center_offsets", "normalized_distance", "three_class_target"]


def three_class_target(labels: np.ndarray) -> np.ndarray:
    """Return which pixels are background, inside of an object, or border.

    Parameters
    ----------
    labels : ndarray of int or bool, YX or ZYX
        Label image, 0 is background.

    Returns
    -------
    ndarray of uint8, shape of `labels`
        0 background, 1 foreground, 2 border.

    Raises
    ------
    ValueError
        If `labels` is no label image of two or three dimensions.

    Notes
    -----
    Border is what ``skimage.segmentation.find_boundaries(mode="outer")`` finds: background
    that shares a side with an object, and where two objects touch, over a corner too, one
    pixel on each side. An object that touches nothing keeps all its pixels. Source: VoidSeg
    (Prakash et al. 2020).

    Examples
    --------
    >>> three_class_target(np.array([[0, 0, 1, 1, 2, 2, 0]])).tolist()
    [[0, 2, 1, 2, 2, 1, 2]]
    """
    from skimage.segmentation import find_boundaries

    labels = _check_labels(labels)  # int32: scikit-image 0.26 finds false borders on int64
    target = (labels > 0).astype(np.uint8)
    target[find_boundaries(labels, mode="outer")] = 2
    return target


def normalized_distance(
    labels: np.ndarray, *, spacing: Sequence[float] | None = None
) -> np.ndarray:
    """Return how deep each pixel lies in its object: 1 at the deepest point, 0 outside.

    Parameters
    ----------
    labels : ndarray of int or bool, YX or ZYX
        Label image, 0 is background.
    spacing : sequence of float, optional
        Pixel or voxel size in the order of the axes; without it all axes count the same.

    Returns
    -------
    ndarray of float32, shape of `labels`
        In (0, 1] on objects, 0 on background.

    Raises
    ------
    ValueError
        If `labels` is no label image of two or three dimensions, or `spacing` does not fit.

    Notes
    -----
    Euclidean distance to the nearest pixel outside the object, divided by the largest of the
    same object. An object cut by the frame ends there. Of a label in several pieces only the
    thickest one reaches 1. Source: FPN2-WS (Zaki et al. 2020).
    """
    labels = _check_labels(labels)
    spacing = _check_spacing(spacing, labels.ndim)
    target = np.zeros(labels.shape, np.float32)
    for box, member in _iter_objects(labels):
        inner = (slice(1, -1),) * labels.ndim
        depth = ndimage.distance_transform_edt(np.pad(member, 1), sampling=spacing)[inner]
        target[box][member] = depth[member] / depth.max()
    return target


def border_ridge(labels: np.ndarray, *, sigma: float = 1.0) -> np.ndarray:
    """Return the blurred inner outlines of the objects: a ridge along each border.

    Parameters
    ----------
    labels : ndarray of int or bool, YX or ZYX
        Label image, 0 is background.
    sigma : float
        Standard deviation of the Gaussian blur in pixels; 0 leaves the outline as it is.

    Returns
    -------
    ndarray of float32, shape of `labels`
        Between 0 and 1; for ``sigma=1`` a straight outline is about 0.4 high.

    Raises
    ------
    ValueError
        If `labels` is no label image of two or three dimensions, or `sigma` is negative.

    Notes
    -----
    The outline is an object minus its erosion with the cross of direct neighbours, where
    outside the image counts as empty: two touching objects give two lines side by side, and
    the side cut by the frame has one too. Source: FPN2-WS (Zaki et al. 2020).

    Examples
    --------
    >>> border_ridge(np.array([[1, 1, 1, 2, 0]] * 3), sigma=0).astype(int).tolist()
    [[1, 1, 1, 1, 0], [1, 0, 1, 1, 0], [1, 1, 1, 1, 0]]
    """
    labels = _check_labels(labels)
    if not sigma >= 0:
        raise ValueError(f"sigma is {sigma}: give a blur in pixels, 0 or larger")
    outline = _inner_outline(labels).astype(np.float32)
    return ndimage.gaussian_filter(outline, sigma, mode="constant")


def center_offsets(
    labels: np.ndarray,
    *,
    center: str = "medoid",
    spacing: Sequence[float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the way from each pixel to the centre of its object, and the centres.

    Parameters
    ----------
    labels : ndarray of int or bool, YX or ZYX
        Label image, 0 is background.
    center : {"medoid", "approximate_medoid", "centroid"}
        The member pixel with the smallest sum of distances to all others; the member nearest
        to the median of each axis (faster for large objects); or the rounded mean position,
        which lies outside a crescent.
    spacing : sequence of float, optional
        Pixel or voxel size in the order of the axes, for the choice of the medoid.

    Returns
    -------
    offsets : ndarray of float32, 2YX or 3ZYX
        Centre minus position in pixels, in the order of the axes; 0 on background.
    centers : ndarray of int32, (objects, 2 or 3)
        Pixel of each centre in the order of the labels, smallest first.

    Raises
    ------
    ValueError
        If `labels` is no label image of two or three dimensions, `center` is unknown, or
        `spacing` does not fit.

    Notes
    -----
    The medoid is exact: the sums of distances of all pixels in the bounding box are one
    convolution. Of equal sums the first pixel wins. Source: EmbedSeg (Lalit et al. 2021).

    Examples
    --------
    >>> offsets, centers = center_offsets(np.array([[0, 5, 5, 5, 0]]))
    >>> centers.tolist(), offsets[1].tolist()
    ([[0, 2]], [[0.0, 1.0, 0.0, -1.0, 0.0]])
    """
    labels = _check_labels(labels)
    spacing = _check_spacing(spacing, labels.ndim)
    if center not in CENTERS:
        raise ValueError(f"center is {center!r}: give one of {', '.join(map(repr, CENTERS))}")
    offsets, centers = np.zeros((labels.ndim, *labels.shape), np.float32), []
    for box, member in _iter_objects(labels):
        position = np.asarray(CENTERS[center](member, spacing))
        steps = position.reshape(-1, *[1] * labels.ndim) - np.indices(member.shape)
        offsets[(slice(None), *box)][:, member] = steps[:, member]
        centers.append(position + [side.start for side in box])
    return offsets, np.array(centers, np.int32).reshape(-1, labels.ndim)


def _find_medoid(member: np.ndarray, spacing: np.ndarray) -> tuple:
    reach = [np.arange(1 - n, n) * step for n, step in zip(member.shape, spacing, strict=True)]
    distance = np.sqrt(sum(axis**2 for axis in np.meshgrid(*reach, indexing="ij", sparse=True)))
    total = signal.oaconvolve(distance, member.astype(float), mode="valid")
    # rounded, so that equal sums stay equal in spite of the Fourier transform
    total = np.where(member, np.round(total / (total.max() or 1), 9), np.inf)
    return np.unravel_index(np.argmin(total), member.shape)


def _find_near_median(member: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    points = np.argwhere(member)
    away = (points - np.median(points, axis=0)) * spacing
    return points[np.argmin((away**2).sum(axis=1))]


def _find_mean(member: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    return np.round(np.argwhere(member).mean(axis=0)).astype(int)


CENTERS = {
    "medoid": _find_medoid,
    "approximate_medoid": _find_near_median,
    "centroid": _find_mean,
}


def _inner_outline(labels: np.ndarray) -> np.ndarray:
    padded = np.pad(labels, 1)
    inner = (slice(1, -1),) * labels.ndim
    differs = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        for step in (-1, 1):
            differs |= np.roll(padded, step, axis)[inner] != labels
    return differs & (labels > 0)


def _iter_objects(labels: np.ndarray) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
    """Yield the bounding box of each object and its mask in there, in the order of labels."""
    if labels.max(initial=0) > labels.size:  # find_objects makes a list as long as the largest
        labels[labels > 0] = np.unique(labels[labels > 0], return_inverse=True)[1] + 1
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            yield box, labels[box] == label


def _check_labels(labels: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iub" or labels.ndim not in (2, 3):
        raise ValueError(
            f"labels has dtype {labels.dtype} and shape {labels.shape}: give one label image of "
            "whole numbers with axes YX or ZYX"
        )
    if labels.size and (labels.min() < 0 or labels.max() > np.iinfo(np.int32).max):
        raise ValueError(
            f"labels lie between {labels.min()} and {labels.max()}: objects must have numbers "
            "from 1 to 2147483647, and background 0"
        )
    return labels.astype(np.int32)


def _check_spacing(spacing: Sequence[float] | None, ndim: int) -> np.ndarray:
    spacing = np.ones(ndim) if spacing is None else np.asarray(spacing, float)
    if spacing.shape != (ndim,) or not (spacing > 0).all():
        raise ValueError(
            f"spacing is {spacing.tolist()} for labels of {ndim} axes: give one positive size "
            "for each axis, in the order of the axes"
        )
    return spacing
