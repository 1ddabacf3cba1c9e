"""From the probability of foreground to a mask and to objects, for images and volumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

__all__ = [
    "choose_threshold",
    "drop_small",
    "measure_objects",
    "median_filter_z",
    "split_touching",
    "sweep_thresholds",
]

N_BINS = 1000


def median_filter_z(probability: np.ndarray, *, size: int = 5, axes: str = "z") -> np.ndarray:
    """Return a volume without what only one or two slices claim.

    Parameters
    ----------
    probability : ndarray, ZYX
        Probability of foreground, or a mask.
    size : int
        Odd number of slices in the window.
    axes : {"z", "zy"}
        ``"z"``: the median along z alone; ``"zy"``: of a square of `size` slices by `size`
        rows, as in the published code of Franco-Barranco et al. 2022.

    Returns
    -------
    ndarray, shape and dtype of `probability`
        At the ends the volume is mirrored.

    Raises
    ------
    ValueError
        If it is not ZYX, or `size` is not odd.

    Examples
    --------
    >>> median_filter_z(np.array([0, 0, 1, 0, 0.0]).reshape(5, 1, 1), size=3).max()
    np.float64(0.0)
    """
    probability = np.asarray(probability)
    if probability.ndim != 3:
        raise ValueError(
            f"probability has shape {probability.shape}: the filter runs across slices, so give a "
            "volume ZYX"
        )
    if size < 1 or size % 2 == 0 or axes not in ("z", "zy"):
        raise ValueError(f"size is {size}, axes {axes!r}: give an odd size, and 'z' or 'zy'")
    window = (size, size if axes == "zy" else 1, 1)
    if probability.dtype == bool:
        return ndimage.median_filter(probability.view(np.uint8), window).view(bool)
    return ndimage.median_filter(probability, window)


def sweep_thresholds(
    probabilities: Sequence[np.ndarray], masks: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the foreground IoU of all images together for a thousand thresholds.

    Parameters
    ----------
    probabilities : sequence of ndarray of float, 0 to 1
        Predictions of validation images.
    masks : sequence of ndarray
        Their masks; every value above 0 is foreground.

    Returns
    -------
    dict of ndarray
        ``threshold`` and ``iou`` of what lies at or above it, from pixels counted over all
        images; 1 where neither has foreground.

    Raises
    ------
    ValueError
        If there are no images, or the shapes differ.

    Notes
    -----
    Counted once by histograms of a thousand bins, so the cost does not depend on the number
    of thresholds.
    """
    shapes = [[np.shape(a) for a in arrays] for arrays in (probabilities, masks)]
    if not shapes[0] or shapes[0] != shapes[1]:
        raise ValueError(
            f"probabilities have shapes {shapes[0]} and masks {shapes[1]}: give the mask of each "
            "prediction, and at least one"
        )
    counts = np.zeros((2, N_BINS), np.int64)
    for probability, mask in zip(probabilities, masks, strict=True):
        # 1e-6: 0.7 in float32 is a little less than the edge 0.7
        bins = np.floor(np.clip(np.asarray(probability) * N_BINS + 1e-6 * N_BINS, 0, N_BINS - 1))
        truth = np.asarray(mask) > 0
        for kind, chosen in enumerate((~truth, truth)):
            counts[kind] += np.bincount(bins[chosen].astype(np.int64), minlength=N_BINS)
    false_positive, true_positive = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
    union = counts[1].sum() + false_positive
    iou = np.where(union > 0, true_positive / np.maximum(union, 1), 1.0)
    return {"threshold": np.arange(N_BINS) / N_BINS, "iou": iou}


def choose_threshold(
    probabilities: Sequence[np.ndarray], masks: Sequence[np.ndarray]
) -> tuple[float, float]:
    """Return the threshold with the highest foreground IoU on validation images, and that IoU.

    Parameters
    ----------
    probabilities, masks
        As in :func:`sweep_thresholds`.

    Returns
    -------
    threshold, iou : float
        Foreground is ``probability >= threshold``. Of several best thresholds, the one in the
        middle: it is the safest for other images.

    Raises
    ------
    ValueError
        As :func:`sweep_thresholds`, and if no mask has foreground.

    Examples
    --------
    >>> choose_threshold([np.array([0.1, 0.4, 0.9])], [np.array([0, 1, 1])])
    (0.25, 1.0)
    """
    if not any(np.any(np.asarray(mask) > 0) for mask in masks):
        raise ValueError(
            "no mask has foreground, so no threshold is better than another: give validation "
            "images with objects"
        )
    sweep = sweep_thresholds(probabilities, masks)
    best = np.flatnonzero(sweep["iou"] == sweep["iou"].max())
    return float(sweep["threshold"][best[(len(best) - 1) // 2]]), float(sweep["iou"].max())


def drop_small(mask: np.ndarray, min_size: int, *, fill_holes: bool = False) -> np.ndarray:
    """Return a mask without its small pieces.

    Parameters
    ----------
    mask : ndarray of bool, YX or ZYX
    min_size : int
        Pieces with fewer pixels or voxels are dropped. Pixels that share only a corner or an
        edge of a voxel belong to different pieces.
    fill_holes : bool
        Whether background enclosed on all sides becomes foreground.
    """
    labels, _ = ndimage.label(mask)
    keep = np.bincount(labels.ravel()) >= min_size
    keep[0] = False
    kept = keep[labels]
    return ndimage.binary_fill_holes(kept) if fill_holes else kept


def split_touching(
    mask: np.ndarray,
    *,
    min_distance: float = 10.0,
    min_size: int = 0,
    spacing: Sequence[float] | None = None,
) -> np.ndarray:
    """Return objects of a mask; those that touch are cut at their waist.

    Parameters
    ----------
    mask : ndarray of bool, YX or ZYX
    min_distance : float
        Least distance of two centres along an axis, in the unit of `spacing`. Mitochondria
        are long, so a small value cuts them into pieces; with ``inf`` nothing is cut.
    min_size : int
        Objects with fewer pixels or voxels are dropped.
    spacing : sequence of float, optional
        Pixel or voxel size in the order of the axes, for thick sections. Without it, lengths
        are in pixels.

    Returns
    -------
    ndarray of int32
        Label image, numbered from 1 without gaps.

    Raises
    ------
    ValueError
        If `spacing` does not fit the axes.

    Notes
    -----
    Watershed on the distance to the background, smoothed by a quarter of `min_distance`, from
    its maxima. Every connected piece has at least one.
    """
    from skimage.segmentation import relabel_sequential, watershed

    mask = np.asarray(mask) > 0
    spacing = np.ones(mask.ndim) if spacing is None else np.asarray(spacing, float)
    if spacing.shape != (mask.ndim,) or not (spacing > 0).all():
        raise ValueError(
            f"spacing is {spacing.tolist()} for a mask of {mask.ndim} axes: give one positive size "
            "for each axis"
        )
    pieces, _ = ndimage.label(mask)
    labels = pieces
    if np.isfinite(min_distance):
        depth = ndimage.distance_transform_edt(mask, sampling=spacing)
        depth = ndimage.gaussian_filter(depth, min_distance / 4 / spacing) * mask
        window = 2 * np.maximum(min_distance // spacing, 1).astype(int) + 1
        peaks = (depth == ndimage.maximum_filter(depth, size=window)) & mask
        seeds, _ = ndimage.label(peaks, np.ones((3,) * mask.ndim))
        labels = watershed(-depth, seeds, mask=mask)
        # a piece in the shadow of a higher peak next to it has no maximum of its own
        labels = np.where((labels == 0) & mask, pieces + labels.max(), labels)
    keep = np.bincount(labels.ravel()) >= min_size
    keep[0] = False
    return relabel_sequential(np.where(keep[labels], labels, 0))[0].astype(np.int32)


def measure_objects(labels: np.ndarray, pixel_size_um: Sequence[float] | None = None):
    """Return size and place of every object, in nanometres.

    Parameters
    ----------
    labels : ndarray of int, YX or ZYX
        Label image.
    pixel_size_um : sequence of float, optional
        Pixel or voxel size in µm in the order of the axes; without it lengths are in pixels.

    Returns
    -------
    pandas.DataFrame
        One row per object: ``label``, ``n_pixels``, ``area_um2`` or ``volume_um3``,
        ``diameter_nm`` of the circle or sphere of equal size, ``length_nm``, the longer side
        of the bounding box's diagonal, and ``cut``: whether it touches the border, so that
        all these are lower limits. Without a pixel size the columns end in ``_px``.
    """
    import pandas as pd

    ndim, unit = labels.ndim, 1.0 if pixel_size_um is None else 1000.0
    size = np.ones(ndim) if pixel_size_um is None else np.asarray(pixel_size_um, float)
    counts = np.bincount(labels.ravel())
    known = pixel_size_um is not None
    extent = ("area" if ndim == 2 else "volume") + (f"_um{ndim}" if known else "_px")
    length = "nm" if known else "px"
    rows = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        amount = counts[number] * size.prod()
        ball = amount * 4 / np.pi if ndim == 2 else amount * 6 / np.pi
        sides = [(side.stop - side.start) * s for side, s in zip(box, size, strict=True)]
        cut = any(b.start == 0 or b.stop == n for b, n in zip(box, labels.shape, strict=True))
        rows.append(
            {
                "label": number,
                "n_pixels": int(counts[number]),
                extent: amount,
                f"diameter_{length}": unit * ball ** (1 / ndim),
                f"length_{length}": unit * float(np.hypot.reduce(sides)),
                "cut": cut,
            }
        )
    columns = ["label", "n_pixels", extent, f"diameter_{length}", f"length_{length}", "cut"]
    return pd.DataFrame(rows, columns=columns)
