"""Changes of image and labels together, so that a network sees more than the data show."""

from __future__ import annotations

import numpy as np

__all__ = ["flip_and_turn", "vary_intensity", "zoom_and_rotate"]


def flip_and_turn(
    image: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return image and labels flipped and turned by 90 degrees, both in the same way.

    Parameters
    ----------
    image : ndarray, YX or ZYX
        A patch; its last two axes have equal length if it is to be turned.
    labels : ndarray of int, same shape
        Its labels.
    rng : numpy.random.Generator
        Draws one of the eight flips and turns of the YX plane, and a flip of Z, all equally
        likely. A patch that is not square is not turned by 90 degrees, only by 180.

    Returns
    -------
    image, labels : ndarray
        Copies; no value is changed, only its place.

    Raises
    ------
    ValueError
        If image and labels differ in shape.
    """
    if image.shape != labels.shape:
        raise ValueError(
            f"image has shape {image.shape} and labels {labels.shape}: give patches of one shape"
        )
    square = image.shape[-1] == image.shape[-2]
    n_turns = int(rng.integers(4)) if square else 2 * int(rng.integers(2))
    flips = [slice(None, None, int(rng.choice([-1, 1]))) for _ in range(image.ndim - 1)]
    return tuple(
        np.ascontiguousarray(np.rot90(a, n_turns, axes=(-2, -1))[tuple(flips)])
        for a in (image, labels)
    )


def zoom_and_rotate(
    image: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    *,
    zoom: tuple[float, float] = (0.7, 1.4),
    probability: float = 0.7,
) -> tuple[np.ndarray, np.ndarray]:
    """Return image and labels turned by any angle and zoomed, both in the same way.

    Parameters
    ----------
    image : ndarray, YX or ZYX
        A patch; each plane of a stack is turned alike.
    labels : ndarray of int, same shape
        Its labels or classes.
    rng : numpy.random.Generator
        Source of all draws.
    zoom : tuple of float
        Limits of the factor; above 1 objects become larger.
    probability : float
        How often anything is done; else both are returned as they are.

    Returns
    -------
    image, labels : ndarray
        Of the same shape. The image is interpolated linearly, labels take the nearest value;
        what lies outside is the mirror image of the inside.

    Raises
    ------
    ValueError
        If image and labels differ in shape.
    """
    from scipy.ndimage import affine_transform

    if image.shape != labels.shape:
        raise ValueError(
            f"image has shape {image.shape} and labels {labels.shape}: give patches of one shape"
        )
    if rng.random() >= probability:
        return image, labels
    angle, factor = rng.uniform(0, 2 * np.pi), rng.uniform(*zoom)
    matrix = np.eye(image.ndim)
    matrix[-2:, -2:] = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix[-2:, -2:] /= factor
    centre = (np.array(image.shape) - 1) / 2
    options = {"offset": centre - matrix @ centre, "mode": "reflect"}
    turned = affine_transform(image, matrix, order=1, **options)
    return turned, affine_transform(labels, matrix, order=0, **options)


def vary_intensity(
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    gain: tuple[float, float] = (0.7, 1.4),
    offset: float = 0.05,
    noise: float = 0.03,
) -> np.ndarray:
    """Return the image brighter or darker, shifted, and with some noise.

    Parameters
    ----------
    image : ndarray, any shape
        Normalised image: background near 0, bright objects near 1.
    rng : numpy.random.Generator
        Source of all random numbers.
    gain : tuple of float
        Limits of the factor, drawn uniformly.
    offset : float
        The shift is drawn uniformly from ±`offset`.
    noise : float
        Largest standard deviation of the Gaussian noise, drawn uniformly from 0.

    Returns
    -------
    ndarray of float32, shape of `image`
        ``image * gain + offset + noise``; not clipped.
    """
    varied = image * rng.uniform(*gain) + rng.uniform(-offset, offset)
    varied = varied + rng.normal(0, rng.uniform(0, noise), image.shape)
    return varied.astype(np.float32)
