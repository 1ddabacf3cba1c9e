"""From a distance map and a border map to nuclei: seeds, watershed, foreground mask."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from helpers.fpn.watershed_rule import DEMO_RULE, PUBLISHED_RULE, WatershedRule

__all__ = [
    "DEMO_RULE",
    "PUBLISHED_RULE",
    "WatershedRule",
    "find_seeds",
    "seeded_watershed",
    "segment_maps",
]


def find_seeds(
    distance: np.ndarray, rule: WatershedRule | None = None, *, border: np.ndarray | None = None
) -> np.ndarray:
    """Return one seed for each nucleus, from the distance map.

    Parameters
    ----------
    distance : ndarray, YX
        Distance to the outline, 1 at the deepest point of each nucleus
        (:func:`helpers.targets.normalized_distance`).
    rule : WatershedRule, optional
        Thresholds; the mended rule when not given.
    border : ndarray, YX, optional
        As in :func:`seeded_watershed`; what ``rule.border_weight`` takes off the distance.

    Returns
    -------
    ndarray of int32, YX
        0 where there is no seed, else its number; numbered from 1 without gaps.

    Notes
    -----
    Above the threshold, closed, labelled by 4-connectivity, each label eroded, small ones
    dropped.

    Examples
    --------
    >>> find_seeds(np.array([[0.1, 0.9, 0.1, 0.8, 1.0]]), WatershedRule(min_seed_area=1)).tolist()
    [[0, 1, 0, 2, 2]]
    """
    rule = rule or WatershedRule()
    height = _check_map("distance", distance)
    if rule.border_weight and border is not None:
        height = height - rule.border_weight * _check_map("border", border)
    above = height > rule.seed
    cross = ndimage.generate_binary_structure(2, 1)
    seeds, _ = ndimage.label(_close(above, rule.closing_radius), cross)
    for _ in range(rule.erosion):
        same = ndimage.minimum_filter(seeds, 3) == ndimage.maximum_filter(seeds, 3)
        seeds = np.where(same, seeds, 0)
    return _keep_areas(seeds, max(1, rule.min_seed_area), seeds.size)


def segment_maps(maps: np.ndarray, rule: WatershedRule | None = None) -> np.ndarray:
    """Return the nuclei of the maps of one image: distance, border, and foreground if there is one.

    Parameters
    ----------
    maps : ndarray, YX2 or YX3
        As :class:`helpers.fpn.FpnNetworks` predicts them.
    rule : WatershedRule, optional
        As in :func:`seeded_watershed`, which does the work.

    Returns
    -------
    ndarray of int32, YX
        Label image.

    Raises
    ------
    ValueError
        If there are not two or three maps.
    """
    maps = np.asarray(maps)
    if maps.ndim != 3 or maps.shape[2] not in (2, 3):
        raise ValueError(
            f"maps has shape {maps.shape}: give distance, border and perhaps foreground, axes YXC"
        )
    distance, border, *foreground = np.moveaxis(maps, -1, 0)
    return seeded_watershed(distance, border, rule, foreground=(foreground or [None])[0])


def seeded_watershed(
    distance: np.ndarray,
    border: np.ndarray,
    rule: WatershedRule | None = None,
    *,
    foreground: np.ndarray | None = None,
) -> np.ndarray:
    """Return the nuclei that the maps of FPN2-WS show.

    Parameters
    ----------
    distance : ndarray, YX
        As in :func:`find_seeds`.
    border : ndarray, YX
        Ridge along the outlines (:func:`helpers.targets.border_ridge`).
    rule : WatershedRule, optional
        Thresholds; the mended rule when not given. `helpers.fpn.watershed_tuning` finds them.
    foreground : ndarray, YX, optional
        How likely each pixel lies in a nucleus. Without it the distance map has to tell.

    Returns
    -------
    ndarray of int32, YX
        Label image, numbered from 1 without gaps. A nucleus without a seed is missing.

    Raises
    ------
    ValueError
        If the maps are not two-dimensional, differ in shape, or hold NaN.

    Notes
    -----
    The seeds are flooded over the border map, without lines between nuclei, within the
    foreground (where the foreground map exceeds ``rule.mask``, or without one the distance
    ``rule.foreground``); then sizes are filtered once. Source: FPN2-WS (Zaki et al. 2020),
    whose rule is :data:`PUBLISHED_RULE`. It has no foreground mask: even on perfect maps it
    finds about half of the nuclei, because floods leave through outlines, which are lower where
    they run diagonally (0.28) than along an axis (0.40).
    """
    from skimage.segmentation import watershed

    rule = rule or WatershedRule()
    distance, border = _check_map("distance", distance), _check_map("border", border)
    if distance.shape != border.shape:
        raise ValueError(
            f"distance has shape {distance.shape} and border {border.shape}: give both maps of "
            "one image"
        )
    seeds = find_seeds(distance, rule, border=border)
    inside = _find_inside(distance, foreground, rule)
    if rule.border_cap is not None:
        inside &= border < rule.border_cap
    inside |= seeds > 0
    return _keep_areas(watershed(border, seeds, mask=inside), rule.min_area, rule.max_area)


def _find_inside(
    distance: np.ndarray, foreground: np.ndarray | None, rule: WatershedRule
) -> np.ndarray:
    if foreground is None:
        limit = -np.inf if rule.foreground is None else rule.foreground
        return distance > limit
    foreground = _check_map("foreground", foreground)
    if foreground.shape != distance.shape:
        raise ValueError(
            f"foreground has shape {foreground.shape} and distance {distance.shape}: give maps of "
            "one image"
        )
    return foreground > rule.mask


def _close(mask: np.ndarray, radius: int) -> np.ndarray:
    from skimage.morphology import disk

    padded = np.pad(mask, radius)  # or the frame would take pixels from the seeds there
    closed = ndimage.binary_closing(padded, disk(radius)) if radius else padded
    return closed[radius : radius + mask.shape[0], radius : radius + mask.shape[1]]


def _keep_areas(labels: np.ndarray, smallest: int, largest: int) -> np.ndarray:
    areas = np.bincount(labels.ravel())
    keep = (areas >= max(1, smallest)) & (areas <= largest)
    keep[:1] = False
    return (np.cumsum(keep) * keep).astype(np.int32)[labels]


def _check_map(name: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} has shape {array.shape} and dtype {array.dtype}: give one map with axes YX"
        )
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ValueError(f"{name} holds NaN: the network did not train, or saw NaN in the image")
    return array
