"""Is it really denoised? Checks that need no clean image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["answer_to_pure_noise", "residual_autocorrelation", "residual_by_signal"]


def residual_autocorrelation(
    noisy: np.ndarray, denoised: np.ndarray, *, max_shift: int = 8
) -> np.ndarray:
    """Correlate what was taken away with itself, shifted.

    Parameters
    ----------
    noisy, denoised : ndarray, YX or ZYX
        One image before and after, in grey levels.
    max_shift : int
        Largest shift in pixels.

    Returns
    -------
    ndarray of float, shape (2 max_shift + 1, 2 max_shift + 1)
        Mean over Z; the middle, no shift, is 1.

    Raises
    ------
    ValueError
        If shapes differ, the image is smaller than the shifts, or nothing was taken away.

    Notes
    -----
    Noise that differs from pixel to pixel gives about 0 everywhere but in the middle; values of
    ``3 / sqrt(pixels)`` are chance. A bright cross, stripes or a wide hill mean that the camera's
    noise is shared by neighbours (Noise2Void then keeps it) or that structure was removed too.
    """
    residual = _residual(noisy, denoised)
    if min(residual.shape[-2:]) <= 2 * max_shift:
        raise ValueError(
            f"max_shift is {max_shift}, but the image has shape {residual.shape}: lower max_shift"
        )
    planes = residual.reshape(-1, *residual.shape[-2:])
    planes = planes - planes.mean(axis=(1, 2), keepdims=True)
    if not planes.any():
        raise ValueError("noisy and denoised are equal: nothing was taken away")
    padded = [2 * side for side in planes.shape[1:]]  # so that the ends do not meet
    spectrum = np.abs(np.fft.rfft2(planes, padded)) ** 2
    whole = np.fft.irfft2(spectrum, padded).sum(axis=0)
    shifts = np.arange(-max_shift, max_shift + 1)
    part = whole[np.ix_(shifts, shifts)]
    overlap = np.outer(*(side - np.abs(shifts) for side in planes.shape[1:]))
    part = part / overlap
    return part / part[max_shift, max_shift]


def residual_by_signal(
    noisy: np.ndarray, denoised: np.ndarray, *, n_bins: int = 12
) -> pd.DataFrame:
    """Tell how much was taken away in dark and in bright places.

    Parameters
    ----------
    noisy, denoised : ndarray of equal shape
        Before and after, in grey levels.
    n_bins : int
        Groups of pixels by their denoised value, equally many in each.

    Returns
    -------
    pandas.DataFrame
        Columns `signal` (mean of the denoised value), `mean` and `std` of the residual
        ``noisy - denoised``, and `n` pixels.

    Notes
    -----
    `mean` should be 0 everywhere: a slope means that contrast was lost or invented. `std` is the
    noise: constant for a camera's read noise, growing like the root of the signal for photons.
    """
    import pandas as pd

    residual = _residual(noisy, denoised).ravel()
    signal = np.asarray(denoised, float).ravel()
    edges = np.unique(np.quantile(signal, np.linspace(0, 1, n_bins + 1)))
    group = np.clip(np.searchsorted(edges, signal, side="right") - 1, 0, max(len(edges) - 2, 0))
    table = pd.DataFrame({"group": group, "signal": signal, "residual": residual})
    return (
        table.groupby("group")
        .agg(
            signal=("signal", "mean"),
            mean=("residual", "mean"),
            std=("residual", "std"),
            n=("signal", "size"),
        )
        .reset_index(drop=True)
    )


def answer_to_pure_noise(
    denoise: Callable[[np.ndarray], np.ndarray],
    *,
    background: float,
    sigma: float,
    shape: tuple[int, ...] = (256, 256),
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Show the denoiser an empty image: what it draws there is invented.

    Parameters
    ----------
    denoise : callable
        From a noisy image to a denoised one, in grey levels.
    background, sigma : float
        Grey level of the background and standard deviation of the noise.
    shape : tuple of int
        YX or ZYX, large enough that blobs would be seen.
    seed : int
        Of the noise.

    Returns
    -------
    empty, answer : ndarray of float32
        The noisy empty image and what the denoiser makes of it.
    invented : float
        Standard deviation of the answer, as a part of `sigma`: 0 is perfect, 1 is no denoising.
    """
    from helpers.denoise.noise import add_gaussian_noise

    rng = np.random.default_rng(seed)
    empty = add_gaussian_noise(np.full(shape, background, np.float32), sigma=sigma, rng=rng)
    answer = np.asarray(denoise(empty), np.float32)
    return empty, answer, float(answer.std() / sigma)


def _residual(noisy: np.ndarray, denoised: np.ndarray) -> np.ndarray:
    if np.shape(noisy) != np.shape(denoised):
        raise ValueError(
            f"noisy has shape {np.shape(noisy)}, denoised {np.shape(denoised)}: give one image "
            "before and after"
        )
    return np.asarray(noisy, float) - np.asarray(denoised, float)
