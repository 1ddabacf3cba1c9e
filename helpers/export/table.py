"""Size, shape and intensity of every object, as a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["measure_labels"]


def measure_labels(
    labels: np.ndarray,
    image: np.ndarray | None = None,
    *,
    pixel_size_um: Sequence[float] | None = None,
):
    """Return one row of measurements per object.

    Parameters
    ----------
    labels : ndarray of int, YX or ZYX
        Label image, 0 is background.
    image : ndarray, YX or ZYX, or with channels last, optional
        Raw grey values; gives the columns of intensity.
    pixel_size_um : sequence of float, optional
        Along the axes, in µm.

    Returns
    -------
    pandas.DataFrame
        ``label``; ``n_pixels``; ``area_um2`` or ``volume_um3``; ``y``, ``x`` (and ``z``), the
        centroid in pixels, the centre of the first pixel at 0; ``diameter`` of the circle or
        sphere of equal size; ``major_axis`` and ``minor_axis`` of the ellipse with equal moments;
        ``perimeter`` (2D), all lengths in µm with the ending ``_um`` or else in pixels with
        ``_px``; ``eccentricity`` (2D), 0 for a circle; ``solidity``, the share of the convex
        hull; ``at_border``, whether the object touches the border of the image, so that it may be
        cut; ``intensity_mean``, ``_sd``, ``_min``, ``_max``, ``_sum`` for each channel.

    Raises
    ------
    ValueError
        If shapes do not fit, or the pixel size is not positive.

    Notes
    -----
    Pixels are counted, and lengths of the shape are scaled by the pixel size along each axis;
    `perimeter` needs square pixels and is left out otherwise.

    Examples
    --------
    >>> labels = np.pad(np.full((4, 6), 1), 2)
    >>> table = measure_labels(labels, pixel_size_um=(0.5, 0.5))
    >>> table[["n_pixels", "area_um2", "x"]].values.tolist()
    [[24.0, 6.0, 4.5]]
    """
    import pandas as pd

    labels = np.asarray(labels)
    if labels.ndim not in (2, 3) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels has shape {labels.shape}, {labels.dtype}: give integers, YX or ZYX"
        )
    if image is not None and np.shape(image)[: labels.ndim] != labels.shape:
        raise ValueError(f"image has shape {np.shape(image)}, its labels {labels.shape}")
    size = _check_size(pixel_size_um, labels.ndim)
    rows = [_measure(region, labels, image, size) for region in _regions(labels, size)]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["label", "n_pixels"])


def _check_size(size, ndim: int) -> tuple[float, ...] | None:
    if size is None:
        return None
    size = tuple(float(value) for value in size)
    if len(size) != ndim or min(size) <= 0:
        raise ValueError(f"pixel_size_um is {size} for {ndim} axes: give one positive size each")
    return size


def _regions(labels, size):
    from skimage.measure import regionprops

    return regionprops(labels, spacing=size or (1,) * labels.ndim)


def _measure(region, labels, image, size) -> dict:
    unit, ndim = "um" if size else "px", labels.ndim
    count = len(region.coords)
    row = {"label": int(region.label), "n_pixels": count}
    if size:
        row["area_um2" if ndim == 2 else "volume_um3"] = count * float(np.prod(size))
    row |= dict(zip("zyx"[3 - ndim :], region.coords.mean(axis=0).tolist(), strict=True))
    row[f"diameter_{unit}"] = float(region.equivalent_diameter_area)
    row[f"major_axis_{unit}"] = _axis(region, "axis_major_length")
    row[f"minor_axis_{unit}"] = _axis(region, "axis_minor_length")
    if ndim == 2 and (not size or size[0] == size[1]):
        row[f"perimeter_{unit}"] = float(region.perimeter)
    if ndim == 2:
        row["eccentricity"] = float(region.eccentricity)
    row["solidity"] = _solidity(region)
    row["at_border"] = any(
        start == 0 or stop == n
        for start, stop, n in zip(region.bbox[:ndim], region.bbox[ndim:], labels.shape, strict=True)
    )
    return row if image is None else row | _intensity(region, np.asarray(image), ndim)


def _axis(region, name: str) -> float:
    try:
        return float(getattr(region, name))
    except ValueError:  # rounding makes the square of a very short axis negative
        return 0.0


def _solidity(region) -> float:
    """Return the share of the convex hull; 1 for objects that are too flat to have one."""
    if len(region.coords) < 4 or min(region.image.shape) < 2:
        return 1.0
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        share = float(region.solidity)
    return min(1.0, share) if np.isfinite(share) else 1.0


def _intensity(region, image, ndim: int) -> dict:
    values = image[tuple(region.coords.T)].astype(float)
    channels = values[:, None] if image.ndim == ndim else values
    row = {}
    for i, channel in enumerate(channels.T):
        tail = f"_channel{i}" if channels.shape[1] > 1 else ""
        for name in ("mean", "std", "min", "max", "sum"):
            value = float(getattr(channel, name)())
            row[f"intensity_{name.replace('std', 'sd')}{tail}"] = value
    return row
