"""Which nuclei are found: those that stand alone, that touch another, that are lobed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["find_kinds", "found_by_kind"]

KINDS = ("alone", "touching", "lobed")


def find_kinds(labels: np.ndarray, *, solidity: float = 0.92) -> dict[int, str]:
    """Return the kind of each object.

    Parameters
    ----------
    labels : ndarray of int, YX
        Label image.
    solidity : float
        Objects that fill less than this share of their convex hull are lobed, whether they
        touch another or not.

    Returns
    -------
    dict of int to str
        "lobed"; else "touching" if a pixel of another object is a neighbour, corners
        included; else "alone".
    """
    from skimage.measure import regionprops

    highest = ndimage.maximum_filter(labels, 3)
    largest = int(labels.max(initial=0)) + 1
    lowest = ndimage.minimum_filter(np.where(labels > 0, labels, largest), 3)
    meets = (labels > 0) & ((highest != labels) | (lowest != labels))
    touching = set(np.unique(labels[meets]).tolist())
    kinds = {}
    for region in regionprops(labels):
        lobed = region.area > 9 and region.solidity < solidity
        alone = "touching" if region.label in touching else "alone"
        kinds[region.label] = "lobed" if lobed else alone
    return kinds


def found_by_kind(
    labels_true: Sequence[np.ndarray],
    results: Mapping[str, Sequence[np.ndarray]],
    *,
    iou: float = 0.7,
) -> pd.DataFrame:
    """Count which kinds of true objects each method finds.

    Parameters
    ----------
    labels_true : sequence of ndarray of int, YX
        True label images.
    results : mapping of str to sequence of ndarray
        Label images of each method.
    iou : float
        An object is found if one of the result overlaps it by at least this IoU.

    Returns
    -------
    pandas.DataFrame
        One row for each kind: how many there are, and the share that each method finds.
    """
    import pandas as pd

    from helpers.metrics.overlap import assign_pairs, count_overlap

    kinds = [find_kinds(labels) for labels in labels_true]
    n = {kind: sum(list(k.values()).count(kind) for k in kinds) for kind in KINDS}
    table = pd.DataFrame({"nuclei": n})
    for name, found in results.items():
        hits = dict.fromkeys(KINDS, 0)
        for true, pred, kind in zip(labels_true, found, kinds, strict=True):
            overlap = count_overlap(true, pred)
            for i in overlap.i[assign_pairs(overlap, iou)]:
                hits[kind[int(overlap.ids_true[i])]] += 1
        table[name] = [hits[kind] / n[kind] if n[kind] else np.nan for kind in KINDS]
    return table
