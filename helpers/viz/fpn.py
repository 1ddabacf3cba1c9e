"""Pictures of FPN2-WS: augmentation, maps beside the result, and the paper's error figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.metrics.merges import ERROR_KINDS
from helpers.metrics.objects import match_objects
from helpers.viz.images import add_scale_bar, show_image
from helpers.viz.labels import ERROR_COLORS, color_labels, show_contours, show_labels

if TYPE_CHECKING:
    import pandas as pd

    from helpers.augment.pipelines import Patches

__all__ = ["XOR_COLOR", "plot_error_bars", "show_augmented", "show_four", "show_xor", "xor_pixels"]

BAR_LIMIT = 110  # percent
LEGEND_ROOM = 1.35  # the axis ends so far above the highest bar: room for a row of names
XOR_COLOR = "magenta"
"""Colour of the pixels in which prediction and truth differ."""


def show_augmented(axes, rows: Mapping[str, Patches]):
    """Draw patches with their labels, one row each as cut out and as augmented.

    Parameters
    ----------
    axes : ndarray of matplotlib Axes, shape (rows, n)
        Axes to draw into.
    rows : mapping of str to Patches
        Title of the row and at least n patches, such as both that
        :func:`helpers.augment.pipelines.preview_patches` returns.

    Returns
    -------
    ndarray of matplotlib Axes, shape (rows, n)
        The same axes, all with one contrast. Objects that training leaves out are grey.
    """
    for row, (title, patches) in zip(axes, rows.items(), strict=True):
        for k, ax in enumerate(row):
            show_image(ax, patches.images[k], limits=(0, 220))
            counts = patches.weights[k] > 0
            show_contours(ax, np.where(counts, patches.labels[k], 0))
            show_contours(ax, np.where(counts, 0, patches.labels[k]), color="0.6", linewidth=0.4)
        row[0].set_title(title, loc="left")
    return axes


def show_four(axes, image: np.ndarray, maps: np.ndarray, seeds: np.ndarray, labels: np.ndarray):
    """Draw the four images of FPN2-WS side by side: distance, border, seeds, result.

    Parameters
    ----------
    axes : sequence of four matplotlib Axes
        Axes to draw into.
    image : ndarray, YX or YXC
        Image under seeds and result.
    maps : ndarray, YX2 or YX3
        Predicted distance and border first.
    seeds, labels : ndarray of int, YX
        Of :func:`helpers.fpn.watershed.find_seeds` and ``seeded_watershed``.

    Returns
    -------
    sequence of matplotlib Axes
        The same axes.

    Raises
    ------
    ValueError
        If `maps` does not hold two or three maps.
    """
    maps = np.asarray(maps)
    if maps.ndim != 3 or maps.shape[2] not in (2, 3):
        raise ValueError(f"maps has shape {maps.shape}: give distance and border, axes YX2")
    show_image(axes[0], maps[..., 0], limits=(0, 1), cmap="magma", title="distance")
    show_image(axes[1], maps[..., 1], limits=(0, 0.5), cmap="magma", title="border")
    show_labels(axes[2], image, seeds, alpha=0.8).set_title(f"seeds ({seeds.max()})")
    show_contours(show_image(axes[3], image, title=f"nuclei ({labels.max()})"), labels)
    return axes


def xor_pixels(
    labels_true: np.ndarray, labels_pred: np.ndarray, *, iou: float = 0.7
) -> tuple[np.ndarray, np.ndarray]:
    """Return the missed objects, and the pixels in which all others differ.

    Parameters
    ----------
    labels_true, labels_pred : ndarray of int, YX
        True and predicted label image.
    iou : float
        True objects without a partner of at least this IoU are missed.

    Returns
    -------
    missed : ndarray of int, YX
        The missed true objects under their own ids.
    differ : ndarray of bool, YX
        Outside of these, where true and predicted object are not partners: pixels that a
        found object lacks or has too much, and all of a false one.

    Notes
    -----
    Source: figure 5A of Zaki et al. 2020 (GT XOR inference).

    Examples
    --------
    >>> missed, differ = xor_pixels(np.array([[1, 1, 1, 0, 2]]), np.array([[5, 5, 5, 5, 0]]))
    >>> missed.tolist(), differ.astype(int).tolist()
    ([[0, 0, 0, 0, 2]], [[0, 0, 0, 1, 0]])
    """
    labels_true, labels_pred = np.asarray(labels_true), np.asarray(labels_pred)
    table = match_objects(labels_true, labels_pred, iou=iou).true
    ids, where = np.unique(labels_true, return_inverse=True)
    partner = dict(zip(table["label"], table["partner"], strict=True))
    partners = np.array([partner.get(i, 0) for i in ids.tolist()])[where.reshape(labels_true.shape)]
    missed = np.where((labels_true > 0) & (partners == 0), labels_true, 0)
    return missed, (partners != labels_pred) & (missed == 0)


def show_xor(
    ax,
    image: np.ndarray,
    labels_true: np.ndarray,
    labels_pred: np.ndarray,
    *,
    iou: float = 0.7,
    pixel_size_um: float | Sequence[float] | None = None,
):
    """Draw what is wrong to the pixel: missed objects whole, of all others what differs.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    image : ndarray, YX or YXC
        Image underneath.
    labels_true, labels_pred, iou
        As in :func:`xor_pixels`.
    pixel_size_um : float or sequence of float, optional
        Draws a scale bar.

    Returns
    -------
    matplotlib Axes
        The same axes. Missed objects have the colours of their ids, differing pixels are
        magenta.
    """
    from matplotlib.colors import to_rgba

    missed, differ = xor_pixels(labels_true, labels_pred, iou=iou)
    show_image(ax, image)
    ax.imshow(color_labels(missed, alpha=0.75), interpolation="nearest")
    paint = np.zeros((*differ.shape, 4))
    paint[differ] = to_rgba(XOR_COLOR, 0.9)
    ax.imshow(paint, interpolation="nearest")
    add_scale_bar(ax, pixel_size_um)
    return ax


def plot_error_bars(ax, table: pd.DataFrame):
    """Draw missed, false, merged and split objects as bars, one group a method.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    table : DataFrame
        Of :func:`helpers.metrics.merges.error_percent`.

    Returns
    -------
    matplotlib Axes
        The same axes. Bars end at 110 %; the numbers above them are the true ones.
    """
    width = 0.8 / len(ERROR_KINDS)
    for k, kind in enumerate(ERROR_KINDS):
        places = np.arange(len(table)) + (k - (len(ERROR_KINDS) - 1) / 2) * width
        heights = np.minimum(table[kind], BAR_LIMIT)  # a useless method must not hide the others
        bars = ax.bar(places, heights, width, color=ERROR_COLORS[kind], label=kind)
        ax.bar_label(bars, [f"{value:.0f}" for value in table[kind]], fontsize="x-small")
    ax.set_xticks(np.arange(len(table)), table.index)
    highest = max((bar.get_height() for bars in ax.containers for bar in bars), default=0)
    ax.set(ylabel="% of true objects", ylim=(0, LEGEND_ROOM * (highest or 1)))
    ax.legend(ncols=len(ERROR_KINDS), loc="upper center", fontsize="small", frameon=False,
              columnspacing=1, handlelength=1)  # fmt: skip
    return ax
