"""A classical rival that learns: filters of several widths and a quadratic discriminant.

Pixel classifiers such as those of ilastik and Trainable Weka work in this way, with a random
forest in place of the discriminant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

__all__ = ["PixelClassifier", "filter_features", "fit_pixel_classifier"]

SIGMAS = (1.0, 2.0, 4.0, 8.0)


def filter_features(image: np.ndarray, sigmas: Sequence[float] = SIGMAS) -> np.ndarray:
    """Return smoothed grey value, edge strength and curvature at several widths.

    Parameters
    ----------
    image : ndarray, YX or ZYX
        Grey values.
    sigmas : sequence of float
        Standard deviations of the Gaussians along all axes, in pixels.

    Returns
    -------
    ndarray of float32, (*image.shape, 3 * len(sigmas))
        For each width the Gaussian, the magnitude of its gradient and its Laplacian, the last
        two times sigma and its square, so that all have the range of grey values.
    """
    image = np.asarray(image, np.float32)
    features = []
    for sigma in sigmas:
        smooth = ndimage.gaussian_filter(image, sigma)
        deep = [axis for axis, size in enumerate(image.shape) if size > 1]
        slopes = [np.gradient(smooth, axis=axis) for axis in deep]  # none across a single slice
        edge = np.sqrt(sum(slope**2 for slope in slopes))
        features += [smooth, sigma * edge, sigma**2 * ndimage.laplace(smooth)]
    return np.stack(features, axis=-1)


@dataclass(frozen=True)
class PixelClassifier:
    """A quadratic function of the features of a pixel: call it with an image.

    Attributes
    ----------
    mean, scale : ndarray of float32, (features,)
        Of the training pixels.
    weights : ndarray of float32, (terms,)
        Of 1, the features, and all their products.
    sigmas : tuple of float
        Widths of the filters.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    sigmas: tuple[float, ...] = SIGMAS

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return a score from 0 to 1 for each pixel, high for foreground."""
        features = (filter_features(image, self.sigmas) - self.mean) / self.scale
        scores = [np.clip(_expand(plane) @ self.weights, 0, 1) for plane in features]
        return np.stack(scores).astype(np.float32)


def fit_pixel_classifier(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    *,
    n_pixels: int = 40_000,
    sigmas: Sequence[float] = SIGMAS,
    seed: int = 0,
) -> PixelClassifier:
    """Learn which features foreground has.

    Parameters
    ----------
    images, masks : sequence of ndarray, YX or ZYX
        Training images and their masks; every value above 0 is foreground.
    n_pixels : int
        How many pixels of each class to learn from, drawn from all images together.
    sigmas : sequence of float
        As in :func:`filter_features`.
    seed : int
        Draws the pixels.

    Returns
    -------
    PixelClassifier

    Raises
    ------
    ValueError
        If one of the two classes has no pixel.

    Notes
    -----
    Least squares to 0 and 1 with both classes equally weighted, which for two classes is the
    direction of the linear discriminant, here of the features and their products.
    """
    rng = np.random.default_rng(seed)
    drawn: list[list[np.ndarray]] = [[], []]
    for image, mask in zip(images, masks, strict=True):
        features = filter_features(image, sigmas).reshape(-1, 3 * len(sigmas))
        truth = np.ravel(mask) > 0
        for kind in (0, 1):
            places = np.flatnonzero(truth == bool(kind))
            share = min(places.size, -(-n_pixels // len(images)))
            drawn[kind].append(features[rng.choice(places, share, replace=False)])
    background, foreground = (np.concatenate(parts) for parts in drawn)
    if not len(background) or not len(foreground):
        raise ValueError(
            f"masks hold {len(foreground)} foreground and {len(background)} background pixels to "
            "learn from: give images with both"
        )
    x = np.concatenate([background, foreground])
    y = np.repeat([0.0, 1.0], [len(background), len(foreground)])
    importance = np.sqrt(np.repeat([1 / len(background), 1 / len(foreground)], np.bincount(y > 0)))
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    terms = _expand((x - mean) / scale) * importance[:, None]
    weights = np.linalg.lstsq(terms, y * importance, rcond=None)[0]
    return PixelClassifier(mean, scale, weights.astype(np.float32), tuple(sigmas))


def _expand(features: np.ndarray) -> np.ndarray:
    """Return 1, all features, and all products of two of them."""
    first, second = np.triu_indices(features.shape[-1])
    one = np.ones((*features.shape[:-1], 1), features.dtype)
    return np.concatenate([one, features, features[..., first] * features[..., second]], axis=-1)
