"""Pictures of spatial embeddings: where pixels point to, and how near they have to come."""

from __future__ import annotations

import numpy as np

from helpers.embedseg.space import EmbeddingSpace
from helpers.viz.images import show_image
from helpers.viz.labels import color_labels

__all__ = ["show_embeddings", "show_radii"]


def show_embeddings(
    ax,
    image: np.ndarray,
    raw: np.ndarray,
    labels: np.ndarray,
    space: EmbeddingSpace,
    *,
    max_points: int = 80,
    lines: bool = True,
    seed: int = 0,
):
    """Draw where the pixels of each object point to, as dots in the object's colour.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    image : ndarray, YX or YXC
        Image underneath.
    raw : ndarray of float, YX5
        Raw output of a network.
    labels : ndarray of int, YX
        Objects, true or found; 0 is background.
    space : EmbeddingSpace
        The one the network was trained with; two axes.
    max_points : int
        Pixels shown of each object, drawn at random.
    lines : bool
        Whether a thin line leads from each of these pixels to where it points.
    seed : int
        Seed of the choice.

    Returns
    -------
    matplotlib Axes
        The same axes.

    Raises
    ------
    ValueError
        If image, labels and raw output do not belong together.
    """
    from matplotlib.collections import LineCollection

    embeddings = _decode(image, raw, labels, space)[0]
    show_image(ax, image)
    rng = np.random.default_rng(seed)
    for label in np.unique(labels[labels > 0]):
        pixels = np.argwhere(labels == label)
        chosen = pixels[rng.permutation(len(pixels))[:max_points]]
        ends = embeddings[tuple(chosen.T)]
        color = color_labels(np.array([label]))[0]
        if lines:
            ways = np.stack([chosen, ends], axis=1)[..., ::-1]
            ax.add_collection(
                LineCollection(ways, colors=[color], linewidths=0.3, alpha=0.5), autolim=False
            )
        ax.plot(*ends.T[::-1], ".", ms=2, color=color, clip_on=True)
    return _keep_frame(ax, labels.shape)


def show_radii(ax, image: np.ndarray, raw: np.ndarray, labels: np.ndarray, space: EmbeddingSpace):
    """Draw around each object's centre the ellipse that its pixels have to point into.

    Parameters
    ----------
    ax, image, raw, labels, space
        As in `show_embeddings`.

    Returns
    -------
    matplotlib Axes
        The same axes.

    Raises
    ------
    ValueError
        As `show_embeddings`.

    Notes
    -----
    Centre and half-probability radii are those of the object's pixel with the highest seed
    probability, from which `cluster_embeddings` would start it. The dot is that pixel.
    """
    from matplotlib.patches import Ellipse

    embeddings, radii, seeds = _decode(image, raw, labels, space)
    show_image(ax, image)
    for label in np.unique(labels[labels > 0]):
        start = np.unravel_index(np.where(labels == label, seeds, -1).argmax(), labels.shape)
        (y, x), (height, width) = embeddings[start], 2 * radii[start]
        color = color_labels(np.array([label]))[0]
        ax.add_patch(Ellipse((x, y), width, height, facecolor="none", edgecolor=color))
        ax.plot(start[1], start[0], ".", ms=4, color=color)
    return _keep_frame(ax, labels.shape)


def _decode(image, raw, labels, space) -> tuple[np.ndarray, ...]:
    """Return embeddings and radii in pixels, and seed probabilities."""
    shapes = [np.shape(image)[:2], np.shape(raw)[:-1], np.shape(labels)]
    if space.ndim != 2 or len(set(shapes)) > 1:
        raise ValueError(
            f"image, raw output and labels have shapes {shapes} in a space of {space.ndim} axes: "
            "give one YX plane of each"
        )
    embeddings, radii, seeds = space.decode(raw)
    return embeddings / space.spacing, radii / space.spacing, seeds


def _keep_frame(ax, shape):
    ax.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))
    return ax
