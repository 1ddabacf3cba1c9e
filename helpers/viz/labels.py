"""Pictures of label images: overlays, contours and error panels.

Import these names from `helpers.viz`.
"""

from __future__ import annotations

import numpy as np

from helpers.viz.images import show_image

__all__ = ["ERROR_COLORS", "PALETTE", "color_labels", "show_contours", "show_errors", "show_labels"]

# Okabe and Ito (2008), without black: told apart with every common colour vision
PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
"""Colours of object ids: id k has colour k modulo 7, whatever other ids there are."""

ERROR_COLORS = {
    "true positive": "#56B4E9",
    "missed": "#F0E442",
    "false": "#D55E00",
    "merged": "#CC79A7",
    "split": "#009E73",
}
"""Colours of `show_errors`."""


def color_labels(labels: np.ndarray, *, alpha: float = 1.0) -> np.ndarray:
    """Colour a label image; the background stays transparent.

    Parameters
    ----------
    labels : ndarray of int, any shape
        Label image, 0 is background.
    alpha : float
        Opacity of the objects, 0 to 1.

    Returns
    -------
    ndarray of float, shape of `labels` + (4,)
        RGBA between 0 and 1. An id has the same colour in every image.
    """
    from matplotlib.colors import to_rgba_array

    labels = np.asarray(labels)
    colors = to_rgba_array(PALETTE, alpha)[labels % len(PALETTE)]
    colors[labels == 0] = 0
    return colors


def show_labels(ax, image: np.ndarray | None, labels: np.ndarray, *, alpha: float = 0.35):
    """Draw objects as coloured areas with contours over their image.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    image : ndarray, YX or YXC, or None
        Image underneath; None draws the objects opaque on black.
    labels : ndarray of int, YX
        Label image, 0 is background.
    alpha : float
        Opacity of the areas, 0 to 1.

    Returns
    -------
    matplotlib Axes
        The same axes.

    Raises
    ------
    ValueError
        If `labels` is not a 2D image of the size of `image`.
    """
    labels = _check_plane(labels, "labels", image)
    if image is None:
        show_image(ax, np.zeros(labels.shape), limits=(0, 1))
        alpha = 1.0
    else:
        show_image(ax, image)
    ax.imshow(color_labels(labels, alpha=alpha), interpolation="nearest")
    return show_contours(ax, labels) if image is not None else ax


def show_contours(ax, labels: np.ndarray, *, color=None, linewidth: float = 0.8):
    """Draw the outlines of objects, exactly along the edges of their pixels.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes that show the image.
    labels : ndarray of int, YX
        Label image, 0 is background.
    color : matplotlib colour, optional
        One colour for all; without it each object has its own.
    linewidth : float
        Width of the lines in points.

    Returns
    -------
    matplotlib Axes
        The same axes.

    Notes
    -----
    Where two objects touch, one line in the colour of the higher id parts them. No line is
    drawn along the frame of the image, where no object ends.
    """
    from matplotlib.collections import LineCollection

    labels = _check_plane(labels, "labels")
    y, x0, x1, owner_y = _trace_steps(labels)
    x, y0, y1, owner_x = _trace_steps(labels.T)
    flat = np.stack([np.stack([x0, y], 1), np.stack([x1, y], 1)], 1)
    upright = np.stack([np.stack([x, y0], 1), np.stack([x, y1], 1)], 1)
    colors = color_labels(np.concatenate([owner_y, owner_x])) if color is None else color
    lines = np.concatenate([flat, upright])
    style = {"linewidths": linewidth, "capstyle": "projecting"}
    ax.add_collection(LineCollection(lines, colors=colors, **style), autolim=False)
    return ax


def show_errors(
    ax,
    image: np.ndarray,
    labels_true: np.ndarray,
    labels_pred: np.ndarray,
    *,
    iou: float = 0.5,
    legend: bool = True,
):
    """Draw what became of each object: found, missed, false, merged or split.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    image : ndarray, YX or YXC
        Image underneath.
    labels_true, labels_pred : ndarray of int, YX
        True and predicted label image.
    iou : float
        A pair matches when its IoU is at least this.
    legend : bool
        Whether the five colours are named below the picture.

    Returns
    -------
    matplotlib Axes
        The same axes.

    Raises
    ------
    ValueError
        If the label images are not 2D images of the size of `image`.

    Notes
    -----
    `helpers.metrics.match_objects` decides. Predicted objects are outlined, wrong ones also
    filled; missed true objects are filled, and thin white lines show the true objects
    inside merged ones.
    """
    from helpers.metrics.objects import match_objects

    true = _check_plane(labels_true, "labels_true", image)
    pred = _check_plane(labels_pred, "labels_pred", image)
    objects = match_objects(true, pred, iou=iou)
    show_image(ax, image)
    for kind, name in _PRED_KINDS.items():
        _draw_layer(ax, _keep(pred, objects.pred, kind), ERROR_COLORS[name])
    _draw_layer(ax, _keep(true, objects.true, "missed"), ERROR_COLORS["missed"])
    show_contours(ax, _keep(true, objects.true, "merged"), color="white", linewidth=0.5)
    if legend:
        _name_errors(ax)
    return ax


_PRED_KINDS = {"matched": "true positive", "false": "false", "merged": "merged", "split": "split"}


def _keep(labels: np.ndarray, objects, kind: str) -> np.ndarray:
    return np.where(np.isin(labels, objects["label"][objects["kind"] == kind]), labels, 0)


def _draw_layer(ax, layer: np.ndarray, color: str) -> None:
    from matplotlib.colors import to_rgba

    if color != ERROR_COLORS["true positive"]:
        paint = np.zeros((*layer.shape, 4))
        paint[layer > 0] = to_rgba(color, 0.5)
        ax.imshow(paint, interpolation="nearest")
    show_contours(ax, layer, color=color, linewidth=1.0)


def _name_errors(ax) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor="none" if name == "true positive" else color, edgecolor=color, label=name)
        for name, color in ERROR_COLORS.items()
    ]
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        ncols=3,
        fontsize="small",
        handlelength=1,
        handleheight=1,
        columnspacing=1,
        frameon=False,
    )


def _trace_steps(labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Find where a label ends from one row to the next, as runs along the row.

    Returns the position between the rows, the start and end of each run, and the label on
    the side with the higher id.
    """
    above, below = labels[:-1], labels[1:]
    row, column = np.nonzero(above != below)
    owner = np.maximum(above, below)[row, column]
    breaks = (np.diff(row) != 0) | (np.diff(column) != 1) | (np.diff(owner) != 0)
    first = np.concatenate([[True], breaks])[: row.size]
    last = np.concatenate([breaks, [True]])[-row.size :] if row.size else first
    return row[first] + 0.5, column[first] - 0.5, column[last] + 0.5, owner[first]


def _check_plane(labels: np.ndarray, name: str, image: np.ndarray | None = None) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 2:
        raise ValueError(
            f"{name} has shape {labels.shape}: pictures are of one YX plane, so give one "
            "slice of a stack, or use show_volume"
        )
    if image is not None and np.shape(image)[:2] != labels.shape:
        raise ValueError(
            f"image has shape {np.shape(image)} and {name} {labels.shape}: give both of the "
            "same plane, uncropped"
        )
    return labels
