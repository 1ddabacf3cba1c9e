"""Pictures of Mask R-CNN: boxes, and the masks inside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.maskrcnn.detections import Detections
from helpers.viz.images import show_image
from helpers.viz.labels import color_labels, show_contours

__all__ = ["show_boxes", "show_detections", "show_masks"]


def show_boxes(
    ax,
    image: np.ndarray,
    boxes: np.ndarray,
    *,
    colors: str | Sequence | None = None,
    linewidth: float = 0.8,
    alpha: float = 1.0,
):
    """Draw boxes over an image.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    image : ndarray, YX or YXC
        Image underneath.
    boxes : ndarray of float, (n, 4)
        ``(y1, x1, y2, x2)`` in pixels; boxes without extent are left out.
    colors : str or sequence, optional
        One for all or one for each; by default those of label images.
    linewidth, alpha : float
        Of the lines.

    Returns
    -------
    matplotlib Axes
        The same axes.
    """
    from matplotlib.patches import Rectangle

    show_image(ax, image)
    if colors is None:
        colors = color_labels(np.arange(1, len(boxes) + 1))
    each = [colors] * len(boxes) if isinstance(colors, str) else colors
    for (y1, x1, y2, x2), color in zip(boxes, each, strict=True):
        if y2 > y1 and x2 > x1:
            # pixel i is drawn around i, but covers i to i + 1 in a box
            place = (x1 - 0.5, y1 - 0.5)
            options = dict(fill=False, edgecolor=color, linewidth=linewidth, alpha=alpha)
            ax.add_patch(Rectangle(place, x2 - x1, y2 - y1, **options))
    return ax


def show_detections(ax, image: np.ndarray, found: Detections, labels: np.ndarray | None = None):
    """Draw detected boxes with their scores, and outlines of a label image in it.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    image : ndarray, YX or YXC
        Image underneath.
    found : Detections
        Whose boxes and scores.
    labels : ndarray of int, YX, optional
        Label image whose outlines are drawn.

    Returns
    -------
    matplotlib Axes
        The same axes.
    """
    show_boxes(ax, image, found.boxes, colors="white", linewidth=0.5)
    if labels is not None:
        show_contours(ax, labels)
    for (y1, x1, _, _), score in zip(found.boxes, found.scores, strict=True):
        ax.text(x1, y1 - 1, f"{score:.2f}", color="white", fontsize=4.5, clip_on=True)
    return ax


def show_masks(axes, image: np.ndarray, found: Detections, *, margin: int = 2):
    """Draw what the mask head says: for each object its piece of the image with the outline.

    Parameters
    ----------
    axes : sequence of matplotlib Axes
        One for each of the first objects.
    image : ndarray, YX
        Image.
    found : Detections
        Objects; as many as `axes` are shown.
    margin : int
        Pixels around each box.

    Returns
    -------
    sequence of matplotlib Axes
        The same axes. The line is where the mask is 0.5, in fractions of pixels; the colour
        from dark to bright is the probability.
    """
    size = found.masks.shape[-1] if len(found) else 1
    for ax in axes:
        ax.axis("off")
    for ax, box, mask in zip(axes, found.boxes, found.masks, strict=False):
        y1, x1, y2, x2 = box
        show_image(ax, image)
        y = y1 + (np.arange(size) + 0.5) * (y2 - y1) / size - 0.5
        x = x1 + (np.arange(size) + 0.5) * (x2 - x1) / size - 0.5
        ax.contourf(x, y, mask, levels=np.linspace(0, 1, 11), cmap="magma", alpha=0.35)
        ax.contour(x, y, mask, levels=[0.5], colors="white", linewidths=1)
        ax.set(xlim=(x1 - margin, x2 + margin), ylim=(y2 + margin, y1 - margin))
    return axes
