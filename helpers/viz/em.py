"""Pictures of masks of volumes: errors, seams, and the score from slice to slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from helpers.viz.images import show_image
from helpers.viz.labels import PALETTE, show_contours

__all__ = [
    "MASK_COLORS",
    "plot_slice_scores",
    "plot_thresholds",
    "show_difference",
    "show_mask_errors",
    "show_patches",
]

MASK_COLORS = {"missed": PALETTE[4], "false": PALETTE[5]}
"""Colours of `show_mask_errors`; what was found is outlined in white."""


def show_mask_errors(ax, image: np.ndarray, mask_true: np.ndarray, mask_pred: np.ndarray):
    """Draw which pixels were missed and which are false, over the image.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    image : ndarray, YX
        Image underneath.
    mask_true, mask_pred : ndarray of bool or int, YX
        Masks; every value but 0 is foreground.

    Returns
    -------
    matplotlib Axes
        The same axes, with a legend below.

    Raises
    ------
    ValueError
        If the three are not one plane of equal shape.
    """
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Patch

    true, pred = np.asarray(mask_true) != 0, np.asarray(mask_pred) != 0
    if not np.shape(image) == true.shape == pred.shape or true.ndim != 2:
        raise ValueError(
            f"image has shape {np.shape(image)}, masks {true.shape} and {pred.shape}: give one "
            "slice of each, of equal shape"
        )
    show_image(ax, image)
    paint = np.zeros((*true.shape, 4))
    paint[true & ~pred] = to_rgba(MASK_COLORS["missed"], 0.6)
    paint[pred & ~true] = to_rgba(MASK_COLORS["false"], 0.6)
    ax.imshow(paint, interpolation="nearest")
    show_contours(ax, true.astype(int), color="white", linewidth=0.7)
    handles = [Patch(color=color, alpha=0.6, label=name) for name, color in MASK_COLORS.items()]
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "ncols": 2}
    ax.legend(handles=handles, fontsize="small", handlelength=1, frameon=False, **place)
    return ax


def show_difference(ax, first: np.ndarray, second: np.ndarray, *, limit: float = 0.3):
    """Draw the difference of two predictions: red where the first is higher, blue where lower.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    first, second : ndarray of float, YX
        Predictions of equal shape.
    limit : float
        Difference with the strongest colour.

    Returns
    -------
    matplotlib Axes
        The same axes.
    """
    difference = np.asarray(first, float) - np.asarray(second, float)
    return show_image(ax, difference, limits=(-limit, limit), cmap="RdBu_r")


def show_patches(ax, image: np.ndarray, boxes: Sequence[tuple[slice, ...]], *, color=PALETTE[1]):
    """Draw the frames of patches over their image.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    image : ndarray, YX
        The image they are cut from.
    boxes : sequence of tuple of slice
        Rows and columns of each patch.
    color : matplotlib colour
        Of the frames.

    Returns
    -------
    matplotlib Axes
        The same axes.
    """
    from matplotlib.patches import Rectangle

    show_image(ax, image)
    for rows, columns in boxes:
        corner = (columns.start - 0.5, rows.start - 0.5)
        sides = (columns.stop - columns.start, rows.stop - rows.start)
        ax.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=color, linewidth=0.9))
    return ax


def plot_slice_scores(ax, scores: Mapping[str, Sequence[float]], *, ylabel: str = "IoU"):
    """Plot a score of each slice of a volume, one line a method.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    scores : mapping of str to sequence of float
        Name of the method to the scores along z; NaN leaves a gap.
    ylabel : str
        Name of the score.

    Returns
    -------
    matplotlib Axes
        The same axes.
    """
    for name, values in scores.items():
        ax.plot(range(len(values)), values, marker=".", markersize=4, linewidth=1, label=name)
    ax.set(xlabel="slice", ylabel=ylabel, ylim=(0, 1))
    ax.legend()
    return ax


def plot_thresholds(ax, sweeps: Mapping[str, Mapping[str, np.ndarray]]):
    """Plot the IoU over the threshold and mark the best one of each prediction.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    sweeps : mapping of str to `helpers.em.mask_volume.sweep_thresholds`
        Name of the prediction to its sweep.

    Returns
    -------
    matplotlib Axes
        The same axes.
    """
    for name, sweep in sweeps.items():
        (line,) = ax.plot(sweep["threshold"], sweep["iou"], linewidth=1.2, label=name)
        best = int(np.argmax(sweep["iou"]))
        ax.plot(sweep["threshold"][best], sweep["iou"][best], "o", color=line.get_color())
    ax.set(xlabel="threshold", ylabel="IoU", xlim=(0, 1), ylim=(0, 1))
    ax.legend()
    return ax
