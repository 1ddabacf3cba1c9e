"""Smooth random bending of an image and its mask, in 2D and truly in 3D."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

__all__ = ["bend_tissue", "bending_field", "check_pair"]


def bend_tissue(
    image: np.ndarray,
    mask: np.ndarray,
    rng: np.random.Generator,
    *,
    amplitude: float | Sequence[float] = 4.0,
    scale: float | Sequence[float] = 40.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return image and mask bent alike, in a stack along all three axes.

    Parameters
    ----------
    image, mask : ndarray, YX or ZYX
        A patch and its mask.
    rng : numpy.random.Generator
        Draws the displacements.
    amplitude : float or sequence of float
        Standard deviation of the displacement along each axis, in pixels. Less along z if
        sections are thick, 0 to bend each slice in its plane only.
    scale : float or sequence of float
        Distance of the control points along each axis, in pixels; at least six times the
        amplitude, or tissue folds over.

    Returns
    -------
    image : ndarray of float32
        Linear interpolation; beyond the border lies the mirror image.
    mask : ndarray, dtype of `mask`
        Nearest value.

    Raises
    ------
    ValueError
        As :func:`bending_field`, and if image and mask differ in shape.
    """
    check_pair(image, mask)
    field = bending_field(image.shape, rng, amplitude=amplitude, scale=scale)
    places = field + np.indices(image.shape, dtype=np.float32)
    options = {"mode": "reflect", "prefilter": False}
    bent = ndimage.map_coordinates(image.astype(np.float32, copy=False), places, order=1, **options)
    return bent, ndimage.map_coordinates(mask, places, order=0, **options)


def bending_field(
    shape: Sequence[int],
    rng: np.random.Generator,
    *,
    amplitude: float | Sequence[float] = 4.0,
    scale: float | Sequence[float] = 40.0,
) -> np.ndarray:
    """Return a smooth random displacement of every pixel.

    Parameters
    ----------
    shape : sequence of int
        YX or ZYX.
    rng, amplitude, scale
        As in :func:`bend_tissue`.

    Returns
    -------
    ndarray of float32, (axes, *shape)
        Displacement along each axis, in pixels.

    Raises
    ------
    ValueError
        If amplitude or scale do not fit the axes, or the scale is below six amplitudes.

    Notes
    -----
    Normally distributed at control points, cubic splines between them, as in U-Net
    (Ronneberger et al. 2015, where 3x3 points move by 10 pixels). Each component varies along
    all axes, so neighbouring slices of a stack are bent in similar, not in equal ways.
    """
    amplitude = _per_axis("amplitude", amplitude, len(shape))
    scale = _per_axis("scale", scale, len(shape))
    if min(scale) < 6 * max(amplitude) or min(scale) <= 0:
        raise ValueError(
            f"scale is {tuple(scale)} for an amplitude of {tuple(amplitude)}: give a scale above 0 "
            "and at least six times as large, or the tissue folds over"
        )
    matrices = [_spline_matrix(side, step) for side, step in zip(shape, scale, strict=True)]
    field = np.zeros((len(shape), *shape), np.float32)
    for component, size in zip(field, amplitude, strict=True):
        values = rng.normal(0, 1, [matrix.shape[1] for matrix in matrices])
        if size:
            for matrix in matrices:  # one axis after the other; each moves to the end
                values = np.tensordot(values, matrix, axes=(0, 1))
            component[...] = size * values
    return field


def _spline_matrix(length: int, step: float) -> np.ndarray:
    """Return the weights of control points for each pixel, (length, points)."""
    from scipy.interpolate import make_interp_spline

    n_points = max(2, round((length - 1) / step) + 1)
    degree = min(3, n_points - 1)
    spline = make_interp_spline(np.arange(n_points), np.eye(n_points), k=degree)
    return spline(np.linspace(0, n_points - 1, length))


def _per_axis(name: str, value, ndim: int) -> list[float]:
    values = [float(value)] * ndim if np.isscalar(value) else [float(v) for v in value]
    if len(values) != ndim or min(values) < 0:
        raise ValueError(f"{name} is {value} for {ndim} axes: give one number, or one per axis")
    return values


def check_pair(image: np.ndarray, mask: np.ndarray) -> None:
    """Raise ValueError if image and mask differ in shape."""
    if image.shape != mask.shape:
        raise ValueError(
            f"image has shape {image.shape} and mask {mask.shape}: give patches of one shape"
        )
