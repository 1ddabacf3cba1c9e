"""Pictures of single images: contrast, drawing without clutter, scale bar.

Import these names from `helpers.viz`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["add_scale_bar", "contrast_limits", "show_image"]


def contrast_limits(
    image: np.ndarray, *, low: float = 0.5, high: float = 99.5
) -> tuple[float, float]:
    """Choose the intensities shown as black and white.

    Parameters
    ----------
    image : ndarray, any shape
        Image; NaN is left out.
    low, high : float
        Percentiles, so that a few hot pixels do not darken the picture.

    Returns
    -------
    black, white : float
        Limits with ``black < white``, also for a constant image (shown black); 0 and 1 for a
        mask of truth values.

    Examples
    --------
    >>> contrast_limits(np.arange(101), low=10, high=90)
    (10.0, 90.0)
    """
    image = np.asarray(image)
    if image.dtype == bool:  # NumPy cannot take percentiles of them
        return 0.0, 1.0
    black, white = (float(v) for v in np.nanpercentile(image, [low, high]))
    return (black, white) if white > black else (black, black + 1)


def show_image(ax, image: np.ndarray, *, title: str | None = None, limits=None, cmap="gray"):
    """Draw one image without ticks.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes to draw into.
    image : ndarray, YX or YXC
        Grey image, or colour with three or four channels.
    title : str, optional
        Title above the image.
    limits : (float, float), optional
        Intensities shown as black and white; by default `contrast_limits`. Colour of 8 bits
        or between 0 and 1 is shown as it is.
    cmap : str
        Colour map of grey images.

    Returns
    -------
    matplotlib Axes
        The same axes.

    Raises
    ------
    ValueError
        If the image is a stack or has other axes.
    """
    image = np.asarray(image)
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[-1] in (3, 4)):
        raise ValueError(
            f"image has shape {image.shape}, and one plane is needed, YX or YXC: of a stack show "
            "stack[0]; if your data are stacks, take the part of a notebook that is for three "
            "dimensions (02, 04, 05, 08), or save the planes as images of their own"
        )
    if image.ndim == 3 and image.dtype.kind in "iu" and image.max(initial=0) > 255:
        black, white = contrast_limits(image) if limits is None else limits
        ax.imshow(np.clip((image - float(black)) / (white - black), 0, 1))
    elif image.ndim == 3:
        ax.imshow(image)
    else:
        black, white = contrast_limits(image) if limits is None else limits
        ax.imshow(image, cmap=cmap, vmin=black, vmax=white)
    if title:
        ax.set_title(title)
    ax.set_axis_off()
    return ax


def add_scale_bar(
    ax,
    pixel_size_um: float | Sequence[float] | None,
    *,
    fraction: float = 0.25,
    color: str = "white",
):
    """Draw a scale bar of a round length into the lower right corner.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes that show an image.
    pixel_size_um : float, sequence of float or None
        Pixel size in µm, of all axes or in their order (the last is X). Nothing is drawn
        when it is None.
    fraction : float
        The bar is at most this share of the image's width.
    color : matplotlib colour
        Colour of bar and text.

    Returns
    -------
    matplotlib Axes
        The same axes.

    Raises
    ------
    ValueError
        If the pixel size is not positive.
    """
    if pixel_size_um is None:
        return ax
    size = float(np.ravel(pixel_size_um)[-1])
    if not size > 0:
        raise ValueError(
            f"pixel_size_um is {pixel_size_um}: give micrometres per pixel, or None if unknown"
        )
    left, right = sorted(ax.get_xlim())
    length_um = _round_length(fraction * (right - left) * size)
    _draw_bar(ax, length_um / size / (right - left), _format_length(length_um), color)
    return ax


def _round_length(longest: float) -> float:
    """Return the largest of 1, 2 or 5 times a power of ten that is not above `longest`."""
    exponent = int(np.floor(np.log10(longest)))
    # 0.5, because the logarithm of a number just below a power of ten is rounded up
    steps = [float(f"{step}e{exponent}") for step in (0.5, 1, 2, 5)]
    return max(step for step in steps if step <= longest)


def _format_length(length_um: float) -> str:
    if length_um >= 1000:
        return f"{length_um / 1000:g} mm"
    if length_um < 1:
        return f"{length_um * 1000:g} nm"
    return f"{length_um:g} µm"


def _draw_bar(ax, width: float, text: str, color) -> None:
    """Draw the bar in fractions of the axes, so that its place never depends on the image."""
    from matplotlib.patheffects import withStroke

    right, bottom = 0.96, 0.05
    edge = [withStroke(linewidth=2.5, foreground="black" if color == "white" else "white")]
    bar = {"color": color, "linewidth": 2, "solid_capstyle": "butt", "path_effects": edge}
    ax.plot([right - width, right], [bottom, bottom], transform=ax.transAxes, **bar)
    ax.annotate(
        text,
        (right - width / 2, bottom),
        xycoords="axes fraction",
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color=color,
        fontsize="small",
        path_effects=edge,
    )
