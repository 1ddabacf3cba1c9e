"""The patch classifier of Oztel et al. 2017, run over whole images, and its refinement."""

from __future__ import annotations

import numpy as np

from helpers.unets.blocks import Style, Tensor, activate, conv, conv_norm_act, drop, normalize, pool
from helpers.unets.heads import Head
from helpers.unets.layers import BorderPadding, NodeUpsampling

__all__ = ["label_patches", "oztel_network", "refine_slices"]

PATCH = 32  # pixels: the side of what one value of the network tells about
STRIDE = 8


def oztel_network(
    x: Tensor,
    head: Head,
    *,
    version: int = 1,
    filters: int = 32,
    whole: bool = True,
    normalization: str | None = "batch",
) -> Tensor:
    """Return the output of the patch classifier, for whole images or for patches.

    Parameters
    ----------
    x, head, normalization
        As in :func:`helpers.unets.plain.unet_network`.
    version : {0, 1}
        0 as published; 1 with doubled 3x3 convolutions, by Franco-Barranco et al. 2022.
    filters : int
        Of the widest convolution before the last pooling (32); the others follow.
    whole : bool
        True: one value per pixel. The image is mirrored by half a patch on each side, so that
        the values lie at the corners of 8x8 cells from border to border, and interpolated
        from there. False: the bare classifier, one value per 32x32 window at steps of 8
        pixels, so 1x1 for a patch. Both have the same weights (``set_weights``).

    Notes
    -----
    Value (i, j) of the bare classifier belongs to the window from pixel (8 i, 8 j), whose
    middle lies at pixel 8 i + 15.5. Stretching such a map to the size of the image, as the
    published procedure does, moves it by up to 12 pixels at the borders.
    """
    if version not in (0, 1):
        raise ValueError(f"version is {version}: choose 0 (as published) or 1.")
    if whole:
        x = BorderPadding(PATCH // 2)(x)
    style = Style("relu", normalization)
    x = (_features_v0 if version == 0 else _features_v1)(x, filters, style)
    x = conv(x, 2 * filters, style, 4, padding="valid")
    if not whole:
        return head(x)
    scores = conv(x, head.classes, head.style(), 1, **head.bias())
    return NodeUpsampling(STRIDE, dtype="float32", name="main")(head.finish(scores, name="nodes"))


def _features_v0(x: Tensor, filters: int, style: Style) -> Tensor:
    x = normalize(x, style.normalization)
    x = activate(pool(conv(x, filters, style, 5), window=3), "relu")
    x = drop(pool(conv(x, filters, style, 5), kind="Average", window=3), 0.5)
    return pool(conv(x, 2 * filters, style, 5), kind="Average", window=3)


def _features_v1(x: Tensor, filters: int, style: Style) -> Tensor:
    for width, rate in zip((filters // 2, filters, filters), (0.1, 0.2, 0.3), strict=True):
        x = drop(conv_norm_act(x, width, style), rate)
        x = pool(conv_norm_act(x, width, style))
    return x


def label_patches(masks: np.ndarray, *, mostly: float = 0.8, hardly: float = 0.2) -> np.ndarray:
    """Return the class of each patch by its share of foreground.

    Parameters
    ----------
    masks : ndarray, N, Y, X
        Foreground is above 0.
    mostly, hardly : float
        A share of at least `mostly` makes a patch foreground, of at most `hardly` background.

    Returns
    -------
    ndarray of int8, N
        1 foreground, 0 background, -1 neither: not used for training.

    Examples
    --------
    >>> label_patches(np.array([[[1, 1]], [[1, 0]], [[0, 0]]])).tolist()
    [1, -1, 0]
    """
    share = (np.asarray(masks) > 0).mean(axis=(1, 2))
    return np.select([share >= mostly, share <= hardly], [1, 0], -1).astype(np.int8)


def refine_slices(
    probability: np.ndarray,
    image: np.ndarray,
    *,
    threshold: float = 0.5,
    min_mean: float = 0.8,
    n_planes: int = 9,
) -> np.ndarray:
    """Return the mask after the refinement of Oztel et al. 2017.

    Parameters
    ----------
    probability : ndarray of float, ZYX
        Probability of foreground.
    image : ndarray, ZYX
        The grey values, for the edges.
    threshold : float
        Foreground is above.
    min_mean : float
        Components of a plane with a lower mean probability are deleted.
    n_planes : int
        Odd; window of the median along z.

    Returns
    -------
    ndarray of bool, ZYX

    Raises
    ------
    ValueError
        If the shapes differ or are not ZYX.

    Notes
    -----
    Per plane: 8-connected components above the threshold, of which the doubtful are deleted;
    then a watershed from sure foreground and sure background that stops at edges of the image
    (:func:`_watershed_plane`); at last the median over `n_planes` planes. The published code
    never tests the last component of a plane; here all are tested.
    """
    from scipy.ndimage import median_filter

    probability, image = np.asarray(probability), np.asarray(image)
    if probability.ndim != 3 or probability.shape != image.shape:
        raise ValueError(
            f"probability has shape {probability.shape} and image {image.shape}: give two "
            "arrays ZYX of one shape; a single plane is array[None]."
        )
    planes = [
        _watershed_plane(_keep_sure(p, threshold, min_mean), plane)
        for p, plane in zip(probability, image, strict=True)
    ]
    return median_filter(np.array(planes).astype(np.uint8), (n_planes, 1, 1)) > 0


def _keep_sure(probability: np.ndarray, threshold: float, min_mean: float) -> np.ndarray:
    """Return the components of one plane whose mean probability is high enough."""
    from scipy import ndimage

    labels, n = ndimage.label(probability > threshold, np.ones((3, 3)))
    means = ndimage.mean(probability, labels, np.arange(1, n + 1))
    return np.r_[False, means >= min_mean][labels]


def _watershed_plane(mask: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Move the outlines of a mask to the edges of the image.

    Three openings with a 3x3 square; what eleven dilations do not reach is background, what
    eleven erosions (a 3x3 ellipse, so a cross) leave is a seed, at its deepest pixel where
    they leave nothing; the relief is the inverted distance to the nearest Canny edge.
    """
    from scipy import ndimage
    from skimage.feature import canny
    from skimage.segmentation import watershed

    opened = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=3, border_value=1)
    opened = ndimage.binary_dilation(opened, np.ones((3, 3)), iterations=3)
    if not opened.any():
        return opened
    background = ~ndimage.binary_dilation(opened, iterations=11)
    seeds = ndimage.binary_erosion(opened, iterations=11, border_value=1)
    labels, n = ndimage.label(opened, np.ones((3, 3)))
    depth = ndimage.distance_transform_edt(opened)
    for index, peak in enumerate(ndimage.maximum_position(depth, labels, range(1, n + 1)), 1):
        if not seeds[labels == index].any():
            seeds[peak] = True
    markers, _ = ndimage.label(seeds, np.ones((3, 3)))
    markers[markers > 0] += 1
    markers[background] = 1
    edges = canny(plane.astype(float), sigma=2)
    relief = -ndimage.distance_transform_edt(~edges) if edges.any() else np.zeros(plane.shape)
    return watershed(relief, markers) > 1
