"""Filters that a microscopist would try before a network, tuned without clean images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec

import numpy as np

__all__ = ["denoise_filters", "tune_filters"]


def denoise_filters(*, sigma: float) -> dict[str, tuple[Callable, dict[str, list]]]:
    """List the filters, each with the settings to try.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise in grey levels, see `helpers.denoise.noise.estimate_noise`.

    Returns
    -------
    dict
        ``name: (function, settings)``; ``function(image, **setting)`` takes YX or ZYX. BM3D is
        among them if its package ``bm3d`` is installed; its licence allows non-commercial use
        only, so it is not installed here.
    """
    from scipy.ndimage import gaussian_filter, median_filter
    from skimage.restoration import denoise_nl_means

    means = partial(denoise_nl_means, sigma=sigma, patch_size=5, patch_distance=6, fast_mode=True)
    filters = {
        "Gaussian": (gaussian_filter, {"sigma": [0.5, 1.0, 1.5, 2.0, 3.0, 4.0]}),
        "median": (median_filter, {"size": [3, 5, 7, 9]}),
        "non-local means": (means, {"h": [factor * sigma for factor in (0.4, 0.6, 0.8, 1.0)]}),
    }
    if find_spec("bm3d"):
        from bm3d import bm3d

        filters["BM3D"] = (bm3d, {"sigma_psd": [factor * sigma for factor in (0.8, 1.0, 1.2)]})
    return filters


def tune_filters(
    images: Sequence[np.ndarray], *, sigma: float, max_pixels: int = 256**2
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Choose the setting of each filter on noisy images alone.

    Parameters
    ----------
    images : sequence of ndarray, YX or ZYX
        Noisy validation images; the first three are used, the largest cropped.
    sigma : float
        Standard deviation of the noise in grey levels.
    max_pixels : int
        Of a crop, to save time.

    Returns
    -------
    dict
        Filters by name and setting, such as ``"Gaussian (sigma 2)"``, ready to be called with
        an image in grey levels.

    Raises
    ------
    ValueError
        If there are no images or `sigma` is not positive.

    Notes
    -----
    The idea of Noise2Void serves here too: a pixel is filtered without being seen itself, and
    the setting is best that predicts the noisy pixels best (Batson and Royer 2019, as in
    ``skimage.restoration.calibrate_denoiser``).
    """
    if not len(images) or not sigma > 0:
        raise ValueError(
            f"{len(images)} images and sigma {sigma}: give noisy images and a positive noise level"
        )
    crops = [_crop(image, max_pixels) for image in images[:3]]
    tuned = {}
    for name, (function, settings) in denoise_filters(sigma=sigma).items():
        (key, values), *_ = settings.items()
        losses = [_blind_loss(partial(function, **{key: v}), crops) for v in values]
        best = values[int(np.argmin(losses))]
        tuned[f"{name} ({key} {best:.3g})"] = partial(_as_float, function, **{key: best})
    return tuned


def _as_float(function: Callable, image: np.ndarray, **setting) -> np.ndarray:
    return np.asarray(function(np.asarray(image, np.float32), **setting), np.float32)


def _crop(image: np.ndarray, max_pixels: int) -> np.ndarray:
    side = int(max_pixels ** (1 / image.ndim))
    return np.asarray(image[tuple(slice(max(side, 8)) for _ in image.shape)], np.float32)


def _blind_loss(filter_image: Callable, images: Sequence[np.ndarray]) -> float:
    from skimage.restoration import denoise_invariant

    losses = []
    for image in images:
        found = denoise_invariant(image, filter_image, stride=3)
        losses.append(np.mean((found - image) ** 2))
    return float(np.mean(losses))
