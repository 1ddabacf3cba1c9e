"""Weights for the pixels between objects that nearly touch."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

__all__ = ["border_weights"]


def border_weights(
    labels: np.ndarray,
    *,
    strength: float = 10.0,
    sigma: float = 5.0,
    foreground: float = 1.0,
    background: float = 0.5,
) -> np.ndarray:
    """Return how much each pixel counts in a cross-entropy: most in narrow gaps.

    Parameters
    ----------
    labels : ndarray of int, YX or ZYX
        Label image, 0 is background.
    strength : float
        Height of the ridge where two objects touch.
    sigma : float
        Its width in pixels.
    foreground, background : float
        Weight far from gaps.

    Returns
    -------
    ndarray of float32, shape of `labels`
        ``w + strength * exp(-(d1 + d2)**2 / (2 sigma**2))`` with w one of the last two
        parameters, and d1, d2 the distances in pixels to the two nearest objects (0 inside).

    Raises
    ------
    ValueError
        If `labels` is no label image, or `sigma` not above 0.

    Notes
    -----
    With fewer than two objects, w alone. Farther than 6 sigma from an object it is left out,
    which changes the weight by less than ``2e-8 * strength``. Source: U-Net (Ronneberger et
    al. 2015).

    Examples
    --------
    >>> border_weights(np.array([[1, 0, 2]]), sigma=1).round(3)
    array([[2.353, 1.853, 2.353]], dtype=float32)
    """
    from skimage.segmentation import relabel_sequential

    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.ndim not in (2, 3) or labels.min(initial=0) < 0:
        raise ValueError(
            f"labels has dtype {labels.dtype} and shape {labels.shape}: give one label image of "
            "whole numbers of 0 or larger, with axes YX or ZYX"
        )
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}: give a width in pixels above 0")
    reach = math.ceil(6 * sigma)
    first, second = np.full((2, *labels.shape), np.inf, np.float32)
    numbered = relabel_sequential(labels)[0]  # find_objects makes a list as long as the largest
    for label, box in enumerate(ndimage.find_objects(numbered), start=1):
        near = tuple(slice(max(0, side.start - reach), side.stop + reach) for side in box)
        away = ndimage.distance_transform_edt(numbered[near] != label)
        second[near] = np.minimum(second[near], np.maximum(first[near], away))
        first[near] = np.minimum(first[near], away)
    ridge = strength * np.exp(-((first + second) ** 2) / (2 * sigma**2))
    return (np.where(labels > 0, foreground, background) + ridge).astype(np.float32)
