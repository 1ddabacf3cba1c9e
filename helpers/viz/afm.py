"""Figures of height maps: as an image, as a surface, and what flattening took away."""

from __future__ import annotations

import numpy as np

from helpers.viz.images import contrast_limits, show_image

__all__ = ["show_flattening", "show_surface"]


def show_surface(
    ax,
    height: np.ndarray,
    *,
    title: str | None = None,
    pixel_size_um=None,
    unit: str = "levels",
    stride: int | None = None,
):
    """Draw a height map as a surface seen from the side.

    Parameters
    ----------
    ax : matplotlib Axes3D
        From ``subplots(subplot_kw={"projection": "3d"})``.
    height : ndarray, YX
        Heights.
    title : str, optional
        Title above the axes.
    pixel_size_um : (float, float), optional
        Then the axes are in µm, else in pixels.
    unit : str
        Unit of the heights, for the label.
    stride : int, optional
        Draw every so many pixels; by default about 100 lines.

    Returns
    -------
    matplotlib Axes3D
        The same axes. Heights are cut at the 0.5th and 99.8th percentile: spikes would press
        all else flat.
    """
    height = np.asarray(height, float)
    step = stride or max(1, max(height.shape) // 100)
    sizes = (1, 1) if pixel_size_um is None else np.ravel(pixel_size_um)
    y, x = (np.arange(0, n, step) * size for n, size in zip(height.shape, sizes, strict=True))
    shown = np.clip(height, *contrast_limits(height, low=0.5, high=99.8))[::step, ::step]
    ax.plot_surface(*np.meshgrid(x, y), shown, cmap="afmhot", linewidth=0, rcount=200, ccount=200)
    ax.set(xlabel="µm" if pixel_size_um is not None else "pixels", zlabel=unit)
    ax.set_box_aspect((1, height.shape[0] / height.shape[1], 0.35))
    ax.view_init(elev=45, azim=-60)
    ax.tick_params(labelsize=6, pad=-2)
    if title:
        ax.set_title(title)
    return ax


def show_flattening(axes, image: np.ndarray, flattened):
    """Draw a map, the surface that was subtracted, the glass, and the flattened map.

    Parameters
    ----------
    axes : sequence of four matplotlib Axes
        One for each picture.
    image : ndarray, YX
        The map as measured.
    flattened : helpers.afm.heightmaps.Flattened
        Its flattening.

    Returns
    -------
    sequence of matplotlib Axes
        The same axes.
    """
    pictures = (
        ("as measured", image, None),
        ("subtracted surface", flattened.surface, None),
        ("taken for glass", flattened.glass, (0, 1)),
        ("flattened", flattened.height, contrast_limits(flattened.height, low=1, high=99)),
    )
    for ax, (title, picture, limits) in zip(axes, pictures, strict=True):
        show_image(ax, picture, title=title, limits=limits)
    return axes
