"""Pictures of what the methods learn: classes, star rays, offsets to centres.

Distance and border are grey images: `helpers.viz.show_image` draws them.
"""

from __future__ import annotations

import numpy as np

from helpers.viz.images import show_image
from helpers.viz.labels import PALETTE

__all__ = ["CLASS_COLORS", "color_offsets", "show_classes", "show_offsets", "show_rays"]

CLASS_COLORS = {"background": "black", "foreground": PALETTE[1], "border": PALETTE[0]}
"""Colours of `show_classes`, in the order of the classes."""


def show_classes(ax, classes: np.ndarray, *, legend: bool = False):
    """Draw the three classes of `helpers.targets.three_class_target`.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    classes : ndarray of int, YX
        0 background, 1 foreground, 2 border.
    legend : bool
        Whether the colours of foreground and border are named below the picture.

    Returns
    -------
    matplotlib Axes
        The same axes.

    Raises
    ------
    ValueError
        If `classes` is not a plane of 0, 1 and 2.
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    classes = np.asarray(classes)
    if classes.ndim != 2 or not np.isin(classes, (0, 1, 2)).all():
        raise ValueError(
            f"classes has shape {classes.shape} and values up to {classes.max(initial=0)}: give "
            "one YX plane of 0, 1 and 2, such as three_class_target makes"
        )
    show_image(ax, np.array([to_rgb(color) for color in CLASS_COLORS.values()])[classes])
    if legend:
        shown = list(CLASS_COLORS.items())[1:]
        handles = [Patch(color=color, label=name) for name, color in shown]
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "ncols": 2}
        ax.legend(handles=handles, fontsize="small", handlelength=1, frameon=False, **place)
    return ax


def show_rays(ax, image: np.ndarray, distances: np.ndarray, centers: np.ndarray):
    """Draw the star of rays from each given point to the border of its object.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    image : ndarray, YX or YXC
        Image underneath.
    distances : ndarray, YX + (rays,)
        Distance from each pixel to the border along each ray, in pixels, as
        ``stardist.geometry.star_dist`` or a StarDist network gives it.
    centers : ndarray of int, (objects, 2)
        Pixels to draw the stars of.

    Returns
    -------
    matplotlib Axes
        The same axes.

    Raises
    ------
    ValueError
        If `distances` has not the size of the image and a last axis of rays.

    Notes
    -----
    Ray k of n points k/n of a turn away from the X axis, towards growing Y (downwards).
    """
    from matplotlib.collections import LineCollection, PolyCollection

    distances, centers = np.asarray(distances), np.asarray(centers, int)
    if distances.ndim != 3 or distances.shape[:2] != np.shape(image)[:2]:
        raise ValueError(
            f"distances has shape {distances.shape} and image {np.shape(image)}: give one value "
            "per pixel and ray"
        )
    turn = 2 * np.pi * np.arange(distances.shape[2]) / distances.shape[2]
    steps = distances[tuple(centers.T)][..., None] * np.stack([np.cos(turn), np.sin(turn)], -1)
    ends = centers[:, None, ::-1] + steps
    starts = np.broadcast_to(centers[:, None, ::-1], ends.shape)
    rays = np.stack([starts, ends], axis=2).reshape(-1, 2, 2)
    show_image(ax, image)
    ax.add_collection(LineCollection(rays, colors=PALETTE[1], linewidths=0.5), autolim=False)
    outlines = PolyCollection(ends, facecolors="none", edgecolors=PALETTE[0], linewidths=1)
    ax.add_collection(outlines, autolim=False)
    return ax


def show_offsets(ax, offsets: np.ndarray, centers: np.ndarray | None = None):
    """Draw the way from each pixel to its centre: direction as hue, length as saturation.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    offsets : ndarray, 2YX
        Centre minus position, as `helpers.targets.center_offsets` makes it.
    centers : ndarray, (objects, 2), optional
        Centres to mark with dots.

    Returns
    -------
    matplotlib Axes
        The same axes.

    Raises
    ------
    ValueError
        As `color_offsets`.
    """
    show_image(ax, color_offsets(offsets))
    if centers is not None and len(centers):
        y, x = np.asarray(centers).T
        ax.plot(x, y, "o", ms=3, color="white", mec="black", mew=0.7)
    return ax


def color_offsets(offsets: np.ndarray) -> np.ndarray:
    """Colour offset vectors: direction as hue, length as saturation, no offset black.

    Parameters
    ----------
    offsets : ndarray, 2YX
        Vectors in the order y, x.

    Returns
    -------
    ndarray of float, YX + (3,)
        RGB between 0 and 1; full colour at the 99th percentile of the lengths.

    Raises
    ------
    ValueError
        If `offsets` has not the shape 2YX.

    Notes
    -----
    Hues lie on a circle of the CIE Lab space, so equal turns look equally different.
    """
    from skimage.color import lab2rgb

    offsets = np.asarray(offsets, float)
    if offsets.ndim != 3 or len(offsets) != 2:
        raise ValueError(
            f"offsets has shape {offsets.shape}: give the two offsets y and x of one YX plane"
        )
    length = np.hypot(*offsets)
    longest = np.percentile(length[length > 0], 99) if length.any() else 1.0
    share = np.clip(length / longest, 0, 1)
    along_y, along_x = offsets / np.maximum(length, 1e-12) * share * 80
    lab = np.stack([np.where(length > 0, 92 - 32 * share, 0), along_x, along_y], axis=-1)
    return np.clip(lab2rgb(lab), 0, 1)
