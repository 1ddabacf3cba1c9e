"""Figures of scored runs: error panels of any kind of run, scores and differences by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from os.path import commonprefix
from string import ascii_letters, digits

import numpy as np
import pandas as pd

from helpers.evaluation.rescore import Case, RunScores
from helpers.metrics.objects import match_objects
from helpers.viz.images import show_image
from helpers.viz.labels import ERROR_COLORS, PALETTE, show_contours, show_errors
from helpers.viz.rows import difference_crop

__all__ = [
    "name_errors",
    "panel_axes",
    "plot_differences",
    "plot_found_by_size",
    "plot_image_scores",
    "show_case",
    "show_extremes",
]

MARKERS = "osD^vPX"
MAX_NAMED = 24
MAX_LETTERS = 30  # of all names under an axis; more are turned
NAME_PARTS = ascii_letters + digits


def panel_axes(n: int, *, n_columns: int = 3, width: float = 3.1, height: float = 2.6):
    """Make a figure with some panels in rows, none of them empty.

    Parameters
    ----------
    n : int
        Number of panels, at least 1.
    n_columns : int
        Panels in a row at most.
    width, height : float
        Size of a panel in inches.

    Returns
    -------
    ndarray of matplotlib Axes, shape (n,)
        The axes, row by row.
    """
    import matplotlib.pyplot as plt

    n_columns = min(n, n_columns)
    n_rows = -(-n // n_columns)
    size = (width * n_columns, height * n_rows)
    axes = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False)[1].ravel()
    for ax in axes[n:]:
        ax.remove()
    return axes[:n]


def show_case(
    ax, case: Case, *, kind: str = "labels", iou: float = 0.5, window_px: int | None = None
):
    """Draw the errors of one test image, whatever kind the run is and however many axes.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    case : Case
        Image, truth and prediction, YX or ZYX; of a volume the middle slice is shown.
    kind : {"labels", "mask"}
        Whether objects or pixels are judged.
    iou : float
        Objects match when their IoU is at least this.
    window_px : int, optional
        Shows only the window of this side with the most wrong objects or pixels.

    Returns
    -------
    matplotlib Axes
        The same axes.

    Notes
    -----
    Objects are drawn as by `helpers.viz.show_errors`. They are judged in the slice that is
    shown, so a picture of a volume can differ from its score. In masks, missed and false
    pixels are filled and the true foreground is outlined, in the same colours.
    """
    image, true, pred = (_middle_slice(array, case.true.ndim) for array in case)
    if kind == "labels":
        show_errors(ax, image, true, pred, iou=iou, legend=False)
        true, pred = _keep_wrong(true, pred, iou)
    else:
        true, pred = true > 0, pred > 0
        show_image(ax, image)
        _paint(ax, true & ~pred, ERROR_COLORS["missed"])
        _paint(ax, pred & ~true, ERROR_COLORS["false"])
        show_contours(ax, true, color=ERROR_COLORS["true positive"])
    if window_px:  # only the view is cut, so that objects on its edge are judged whole
        y, x = difference_crop(true, pred, size=window_px)
        ax.images[0].set_interpolation("nearest")
        ax.set(xlim=(x.start - 0.5, x.stop - 0.5), ylim=(y.stop - 0.5, y.start - 0.5))
    return ax


def show_extremes(group: Sequence[RunScores], *, iou: float = 0.5, window_px: int | None = None):
    """Make a figure of the best and the worst test image of each method, side by side.

    Parameters
    ----------
    group : sequence of RunScores
        Runs of one fair group, one column each.
    iou, window_px
        As `show_case`.

    Returns
    -------
    ndarray of matplotlib Axes, shape (2, n methods)
        Best images above, worst below, by the score that ranks the runs.
    """
    extremes = []
    for word in ("best", "worst"):
        for result in group:
            values = result.values()
            name = values.idxmax() if word == "best" else values.idxmin()
            title = f"{result.run.method}\n{word}: {name}\n{result.ranked_by} {values[name]:.2f}"
            extremes.append((title, result.kind, result.read_case(name)))
    shapes = [np.minimum(case.true.shape[-2:], window_px or np.inf) for _, _, case in extremes]
    height = 2 * max(y / x for y, x in shapes) + 0.55  # inches for the title
    axes = panel_axes(len(extremes), n_columns=len(group), width=2, height=height)
    for ax, (title, kind, case) in zip(axes, extremes, strict=True):
        panel = show_case(ax, case, kind=kind, iou=iou, window_px=window_px)
        panel.set_title(title, fontsize="x-small")
    name_errors(axes[0].figure)
    return axes.reshape(2, len(group))


def name_errors(figure) -> None:
    """Name the colours of the error panels once, below the whole figure."""
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor="none" if name == "true positive" else color, edgecolor=color, label=name)
        for name, color in ERROR_COLORS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize="small")


def plot_image_scores(ax, table: pd.DataFrame, *, score: str = ""):
    """Plot the score of every image, one marker a method, the hardest image first.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    table : DataFrame
        From `helpers.evaluation.comparison.image_table`.
    score : str
        Name of the score, for the axis.

    Returns
    -------
    matplotlib Axes
        The same axes.
    """
    places = np.arange(len(table))
    ax.vlines(places, table.min(axis=1), table.max(axis=1), color="0.8", linewidth=1, zorder=0)
    for (method, values), marker in zip(table.items(), cycle(MARKERS), strict=False):
        ax.plot(places, values, marker, markersize=4, label=method)
    if len(table) <= MAX_NAMED:
        names = _drop_common_start(table.index)
        fits = sum(map(len, names)) <= MAX_LETTERS
        ax.set_xticks(places, names, rotation=0 if fits else 90)
    else:
        ax.set_xticks([])
    ax.set(ylim=(-0.03, 1.03), ylabel=score, xlabel="test images, the hardest first")
    ax.legend(frameon=False, fontsize="small", loc="lower right")
    return ax


def plot_found_by_size(ax, table: pd.DataFrame):
    """Plot the share of objects that each method finds, from small objects to large ones.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    table : DataFrame
        From `helpers.evaluation.leaderboard.found_by_size`.

    Returns
    -------
    matplotlib Axes
        The same axes.
    """
    for (method, shares), marker in zip(
        table.drop(columns="n").items(), cycle(MARKERS), strict=False
    ):
        ax.plot(range(len(table)), shares, marker=marker, markersize=4, label=method)
    ax.set_xticks(range(len(table)), table.index.str.replace(" to ", " to\n"), fontsize="small")
    ax.set(ylim=(-0.03, 1.03), xlabel="area in pixels", ylabel="share of objects found")
    ax.legend(frameon=False, fontsize="small", loc="lower right")
    return ax


def plot_differences(
    ax, differences: Mapping[str, pd.Series], intervals: Mapping[str, tuple[float, float]]
):
    """Plot differences image by image, with their mean and its interval.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    differences : mapping of str to Series
        One difference an image, by what is compared.
    intervals : mapping of str to (low, high)
        Interval of each mean; NaN draws none.

    Returns
    -------
    matplotlib Axes
        The same axes. Every small dot is an image, the large one their mean.
    """
    for row, (name, values) in enumerate(differences.items()):
        # spread by rank, so that equal values stay apart and no random numbers are needed
        height = row + 0.15 + 0.08 * (np.argsort(np.argsort(values)) % 3)
        ax.plot(values, height, "o", markersize=3, color="0.6", zorder=1)
        ax.plot(intervals[name], [row, row], color=PALETTE[4], linewidth=2.5)
        ax.plot(np.mean(values), row, "o", markersize=6, color=PALETTE[4])
    ax.axvline(0, color="black", linewidth=0.8, zorder=0)
    ax.set_yticks(range(len(differences)), differences)
    ax.set(ylim=(len(differences) - 0.5, -0.5), xlabel="difference of the score; grey dots: images")
    return ax


def _drop_common_start(names: Sequence[str]) -> list[str]:
    """Drop what all names start with, up to a separator: image_01, image_02 to 01, 02."""
    start = commonprefix(list(names)) if len(names) > 1 else ""
    return [name[len(start.rstrip(NAME_PARTS)) :].lstrip("_- .") for name in names]


def _middle_slice(array: np.ndarray, ndim: int) -> np.ndarray:
    return array[array.shape[0] // 2] if ndim == 3 else array


def _keep_wrong(true: np.ndarray, pred: np.ndarray, iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Drop matched objects, whose outlines would draw the window, unless all are matched."""
    objects = match_objects(true, pred, iou=iou)
    wrong = tuple(
        np.where(np.isin(labels, table["label"][table["kind"] != "matched"]), labels, 0)
        for labels, table in zip((true, pred), objects, strict=True)
    )
    return wrong if any(labels.any() for labels in wrong) else (true, pred)


def _paint(ax, mask: np.ndarray, color: str) -> None:
    from matplotlib.colors import to_rgba

    paint = np.zeros((*mask.shape, 4))
    paint[mask] = to_rgba(color, 0.6)
    ax.imshow(paint, interpolation="nearest")
