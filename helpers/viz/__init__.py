"""Figures: functions take axes, draw, and return them; none computes a score.

    rows                                       rows of images, crops, the style
    images                                     contrast, scale bar, drawing without clutter
    labels                                     overlays, contours, error panels
    curves                                     training history, precision over the IoU threshold
    targets, runs                              what methods learn; scored runs
    denoise, em, fpn, afm, embedseg, maskrcnn  one method each

What `__all__` lists can be imported from here.
"""

from helpers.viz.curves import plot_ap_curve, plot_history
from helpers.viz.images import add_scale_bar, contrast_limits, show_image
from helpers.viz.labels import (
    ERROR_COLORS,
    PALETTE,
    color_labels,
    show_contours,
    show_errors,
    show_labels,
)
from helpers.viz.rows import difference_crop, image_row, set_style, show_row, show_volume

__all__ = [
    "ERROR_COLORS",
    "PALETTE",
    "add_scale_bar",
    "color_labels",
    "contrast_limits",
    "difference_crop",
    "image_row",
    "plot_ap_curve",
    "plot_history",
    "set_style",
    "show_contours",
    "show_errors",
    "show_image",
    "show_labels",
    "show_row",
    "show_volume",
]
