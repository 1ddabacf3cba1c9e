"""Noise added on purpose, and noise estimated from a single image."""

from __future__ import annotations

import numpy as np

__all__ = ["add_gaussian_noise", "add_shared_noise", "estimate_noise"]


def add_gaussian_noise(image: np.ndarray, *, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Return the image with independent Gaussian noise in every pixel.

    Parameters
    ----------
    image : ndarray, any shape
        Image in its own grey levels.
    sigma : float
        Standard deviation of the noise in grey levels, 0 or larger.
    rng : numpy.random.Generator
        Source of the noise, such as ``np.random.default_rng(42)``.

    Returns
    -------
    ndarray of float32, shape of `image`
        Neither clipped nor rounded, so that the noise keeps mean 0: dark pixels can be
        negative.

    Raises
    ------
    ValueError
        If `sigma` is negative or not finite.

    Notes
    -----
    The noise of VoidSeg (Prakash et al. 2020): sigma 10, 20, 40 on 8-bit nuclei, and 150, 200
    on BBBC004.
    """
    if not (np.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma is {sigma}: give a number of grey levels, 0 or larger")
    image = np.asarray(image, np.float32)
    return image + rng.normal(0, sigma, image.shape).astype(np.float32)


def add_shared_noise(
    image: np.ndarray, *, sigma: float, reach: float = 1.5, rng: np.random.Generator
) -> np.ndarray:
    """Return the image with Gaussian noise that neighbouring pixels share.

    Parameters
    ----------
    image : ndarray, YX or ZYX
        Image in its own grey levels.
    sigma : float
        Standard deviation of the noise in each pixel, in grey levels.
    reach : float
        Standard deviation of the blur that spreads the noise, in pixels.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    ndarray of float32, shape of `image`

    Notes
    -----
    What interpolation, compression, or a detector's crosstalk leave. The blurred noise is
    scaled back to `sigma`. Methods that learn from noisy pixels alone cannot remove it.
    """
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(rng.normal(size=np.shape(image)), reach, mode="wrap")
    return (image + sigma / blurred.std() * blurred).astype(np.float32)


def estimate_noise(image: np.ndarray) -> float:
    """Estimate the standard deviation of the noise from one image.

    Parameters
    ----------
    image : ndarray, YX or ZYX
        Grey image.

    Returns
    -------
    float
        In grey levels.

    Raises
    ------
    ValueError
        If the image is not grey 2D or 3D, or shorter than 3 pixels along an axis.

    Notes
    -----
    The second difference along every axis leaves noise and removes smooth structure
    (Immerkær 1996, doi:10.1006/cviu.1996.0060); the median in place of his mean keeps edges
    from counting as noise. Noise that varies with brightness, or that neighbours share, is not
    one number; large areas of one value, such as clipped black, count as free of noise.
    """
    image = np.asarray(image, np.float32)
    if image.ndim not in (2, 3) or min(image.shape) < 3:
        raise ValueError(
            f"image has shape {image.shape}: give one grey image with axes YX or ZYX of at "
            "least 3 pixels each way"
        )
    for axis in range(image.ndim):
        image = np.diff(image, n=2, axis=axis)
    spread = 1.4826 * np.median(np.abs(image))  # of a Gaussian, from its median deviation
    return float(spread / np.sqrt(6) ** image.ndim)  # 6 = 1 + 4 + 1, the weights squared
