"""Area, height and volume of cells in flattened height maps, in physical units where known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

__all__ = ["measure_cells", "summarise_map"]


def measure_cells(
    height: np.ndarray,
    mask: np.ndarray,
    *,
    pixel_size_um: Sequence[float] | None = None,
    min_area_px: int = 30,
) -> pd.DataFrame:
    """Return size and height of each connected piece of a mask.

    Parameters
    ----------
    height : ndarray of float, YX
        Flattened map, glass at 0; in nm where known, else in grey levels.
    mask : ndarray of bool or int, YX
        Cells; pieces are connected also by corners. Cells that touch are one piece.
    pixel_size_um : (float, float), optional
        Pixel size along y and x in µm.
    min_area_px : int
        Smaller pieces are left out.

    Returns
    -------
    pandas.DataFrame
        One row a piece, the largest first: ``piece``; ``area_px`` and ``area_um2``;
        ``height_mean``, ``height_median``, ``height_p99`` (instead of the maximum, which is
        a spike as often as not), ``height_sd`` (roughness Rq about the mean), in the unit of
        the map; ``volume_um3``, the sum of heights in nm times the area of a pixel; and
        ``at_frame``, whether the piece is cut off by the frame, so that its area is too
        small. Columns in µm are NaN without a pixel size.

    Raises
    ------
    ValueError
        If shapes differ or the pixel size is not positive.

    Examples
    --------
    >>> height = np.pad(np.full((10, 5), 200.0), 3)
    >>> table = measure_cells(height, height > 0, pixel_size_um=(0.5, 0.5))
    >>> table[["area_um2", "volume_um3"]].values.tolist()
    [[12.5, 2.5]]
    """
    from skimage.measure import label, regionprops

    height, mask = np.asarray(height, float), np.asarray(mask) != 0
    pixel_um2 = _pixel_area(height, mask, pixel_size_um)
    rows = []
    for piece in regionprops(label(mask, connectivity=2)):
        if piece.area < min_area_px:
            continue
        values = height[tuple(piece.coords.T)]
        y0, x0, y1, x1 = piece.bbox
        rows.append(
            {
                "area_px": len(values),
                "area_um2": len(values) * pixel_um2,
                "height_mean": values.mean(),
                "height_median": np.median(values),
                "height_p99": np.percentile(values, 99),
                "height_sd": values.std(),
                "volume_um3": values.sum() * pixel_um2 / 1000,
                "at_frame": bool(min(y0, x0) == 0 or y1 == mask.shape[0] or x1 == mask.shape[1]),
            }
        )
    columns = "area_px area_um2 height_mean height_median height_p99 height_sd volume_um3 at_frame"
    table = pd.DataFrame(rows, columns=columns.split())
    table = table.sort_values("area_px", ascending=False, ignore_index=True)
    table.insert(0, "piece", np.arange(1, len(table) + 1))
    return table


def summarise_map(
    height: np.ndarray, mask: np.ndarray, *, pixel_size_um: Sequence[float] | None = None
) -> dict[str, float]:
    """Return what one map says: how much of the field is cell, and how high the cells are.

    Parameters
    ----------
    height, mask, pixel_size_um
        As in :func:`measure_cells`.

    Returns
    -------
    dict
        ``share`` of the field, 0 to 1; ``area_um2`` (NaN without pixel size); ``height_median``
        and ``height_p99`` of the cells and ``glass_sd`` of the rest, in the unit of the map (NaN
        where there is no such pixel).
    """
    height, mask = np.asarray(height, float), np.asarray(mask) != 0
    pixel_um2 = _pixel_area(height, mask, pixel_size_um)
    inside, outside = height[mask], height[~mask]
    return {
        "share": float(mask.mean()),
        "area_um2": float(np.count_nonzero(mask) * pixel_um2),
        "height_median": float(np.median(inside)) if inside.size else np.nan,
        "height_p99": float(np.percentile(inside, 99)) if inside.size else np.nan,
        "glass_sd": float(1.4826 * np.median(np.abs(outside))) if outside.size else np.nan,
    }


def _pixel_area(height, mask, pixel_size_um):
    if height.shape != mask.shape or height.ndim != 2:
        raise ValueError(
            f"height has shape {height.shape}, mask {mask.shape}: give a map and its mask, YX"
        )
    if pixel_size_um is None:
        return np.nan
    sizes = np.ravel(pixel_size_um)
    if len(sizes) != 2 or not (sizes > 0).all():
        raise ValueError(f"pixel_size_um is {pixel_size_um}: give (y, x) in µm, above 0, or None")
    return float(sizes[0] * sizes[1])
