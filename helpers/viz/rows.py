"""Rows of images, crops where most differs, and the style of all figures."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from helpers.viz.images import add_scale_bar, show_image
from helpers.viz.labels import (
    PALETTE,
    show_contours,
    show_labels,
)

__all__ = [
    "difference_crop",
    "image_row",
    "set_style",
    "show_row",
    "show_volume",
]

PAGE_INCHES = 9  # JupyterLab and the README shrink what is wider
PANEL_KINDS = ("image", "labels", "overlay", "contours", "prob")


def set_style() -> None:
    """Set matplotlib's defaults for the notebooks: small, plain, colour-blind-safe figures.

    Notes
    -----
    In a notebook, figures are stored as JPEG, a third of the size of PNG for noisy images.
    """
    import matplotlib as mpl

    if "ipykernel" in sys.modules:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("jpeg", pil_kwargs={"quality": 88})

    mpl.rcParams.update(
        {
            "figure.dpi": 100,
            "figure.figsize": (4, 2.8),
            "figure.constrained_layout.use": True,
            "font.size": 9,
            "axes.titlesize": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": mpl.cycler(color=[PALETTE[k] for k in (4, 5, 2, 0, 6, 1, 3)]),
            "legend.frameon": False,
            "lines.linewidth": 1.4,
            "savefig.bbox": "tight",
        }
    )


def show_row(axes, panels: Sequence[tuple[str, np.ndarray, str]]):
    """Draw image, target and prediction side by side.

    Parameters
    ----------
    axes : sequence of matplotlib Axes
        As many axes as panels.
    panels : sequence of (title, array, kind)
        ``kind`` is "image"; "labels" (objects on black); "overlay" or "contours" (objects
        over the nearest image to the left); or "prob" (0 is black, 1 is bright).

    Returns
    -------
    sequence of matplotlib Axes
        The same axes.

    Raises
    ------
    ValueError
        If a kind is unknown, the number of axes does not fit, or an overlay has no image
        to its left.
    """
    if len(axes) != len(panels):
        raise ValueError(f"{len(axes)} axes for {len(panels)} panels: give one for each")
    image = None
    for ax, (title, array, kind) in zip(axes, panels, strict=True):
        _check_panel(title, kind, image)
        if kind == "image":
            image = array
        _show_panel(ax, image, array, kind)
        ax.set_title(title)
    return axes


def image_row(
    panels: Sequence[tuple[str, np.ndarray, str]],
    *,
    height: float = 2.2,
    pixel_size_um: float | Sequence[float] | None = None,
):
    """Make a figure with one row of panels; see `show_row`.

    Parameters
    ----------
    panels : sequence of (title, array, kind)
        What to show.
    height : float
        Height of the images in inches.
    pixel_size_um : float or sequence of float, optional
        Draws a scale bar into the first panel.

    Returns
    -------
    ndarray of matplotlib Axes
        The axes of the row; ``axes[0].figure`` is the figure.
    """
    import matplotlib.pyplot as plt

    widths = [height * np.shape(array)[1] / np.shape(array)[0] for _, array, _ in panels]
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(sum(widths) + 0.1 * len(panels), height + 0.3),
        width_ratios=widths,
        squeeze=False,
        layout="constrained",
    )
    show_row(axes[0], panels)
    _enlarge_titles(axes[0], widths)
    add_scale_bar(axes[0, 0], pixel_size_um)
    return axes[0]


def _enlarge_titles(axes, widths: Sequence[float]) -> None:
    """Make titles larger where the row is wider than a page, as far as they fit."""
    size = axes[0].title.get_fontsize()
    fits = [72 * w / (0.65 * max(1, len(a.get_title()))) for a, w in zip(axes, widths, strict=True)]
    for ax in axes:
        ax.title.set_fontsize(max(size, min(size * sum(widths) / PAGE_INCHES, *fits)))


def show_volume(
    axes,
    volume: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    spacing: Sequence[float] = (1, 1, 1),
    mode: str = "slice",
):
    """Draw a volume from up to three sides: YX, ZX and ZY.

    Parameters
    ----------
    axes : sequence of one to three matplotlib Axes
        Axes for the views, in that order.
    volume : ndarray, ZYX
        Grey volume.
    labels : ndarray of int, ZYX, optional
        Objects to draw over it.
    spacing : sequence of three floats
        Voxel size Z, Y, X: sides are shown in true proportion.
    mode : {"slice", "max"}
        Middle slices, or projections of the brightest voxel (highest id for labels).

    Returns
    -------
    sequence of matplotlib Axes
        The same axes.

    Raises
    ------
    ValueError
        If the volume is not ZYX, labels differ in shape, or `mode` is unknown.
    """
    volume = np.asarray(volume)
    if volume.ndim != 3 or (labels is not None and np.shape(labels) != volume.shape):
        found = f"{volume.shape}, labels {None if labels is None else np.shape(labels)}"
        raise ValueError(f"volume has shape {found}: give ZYX arrays of equal shape")
    if mode not in ("slice", "max"):
        raise ValueError(f"mode is {mode!r}: give 'slice' or 'max'")
    for across, ax in enumerate(axes):
        down, right = (axis for axis in range(3) if axis != across)
        planes = [_flatten(array, across, mode) for array in (volume, labels)]
        show_image(ax, planes[0]) if labels is None else show_labels(ax, *planes)
        ax.set_aspect(spacing[down] / spacing[right])
        ax.set_title("ZYX"[down] + "ZYX"[right])
    return axes


def difference_crop(first: np.ndarray, second: np.ndarray, *, size: int = 128) -> tuple[slice, ...]:
    """Find the window in which two label images or masks differ most.

    Parameters
    ----------
    first, second : ndarray of int or bool, YX or ZYX
        Label images of equal shape; only areas and outlines are compared, not ids.
    size : int
        Side of the window in pixels; a shorter axis is kept whole.

    Returns
    -------
    tuple of slice
        Window for indexing: ``image[window]``.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    from scipy.ndimage import uniform_filter
    from skimage.segmentation import find_boundaries

    first, second = (np.asarray(labels).astype(np.int32) for labels in (first, second))
    if first.shape != second.shape:
        raise ValueError(
            f"shapes {first.shape} and {second.shape} differ: give two results of one image"
        )
    outlines = find_boundaries(first) != find_boundaries(second)
    differ = ((first > 0) != (second > 0)) | outlines
    sides = [min(size, length) for length in first.shape]
    density = uniform_filter(differ.astype(np.float32), sides, mode="constant")
    centre = np.unravel_index(np.argmax(density), density.shape)
    starts = [
        int(np.clip(c - side // 2, 0, length - side))
        for c, side, length in zip(centre, sides, first.shape, strict=True)
    ]
    return tuple(slice(a, a + side) for a, side in zip(starts, sides, strict=True))


def _check_panel(title: str, kind: str, image: np.ndarray | None) -> None:
    if kind not in PANEL_KINDS:
        raise ValueError(f"panel {title!r} has kind {kind!r}: give one of {PANEL_KINDS}")
    if kind in ("overlay", "contours") and image is None:
        raise ValueError(f"panel {title!r} draws over an image: put an 'image' panel before it")


def _show_panel(ax, image: np.ndarray | None, array: np.ndarray, kind: str) -> None:
    if kind == "image":
        show_image(ax, array)
    elif kind == "prob":
        show_image(ax, array, limits=(0, 1), cmap="magma")
    elif kind == "contours":
        show_contours(show_image(ax, image), array)
    else:
        show_labels(ax, image if kind == "overlay" else None, array)


def _flatten(array: np.ndarray | None, axis: int, mode: str) -> np.ndarray | None:
    if array is None:
        return None
    array = np.asarray(array)
    return array.max(axis) if mode == "max" else np.take(array, array.shape[axis] // 2, axis)
