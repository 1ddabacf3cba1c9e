"""The one real sample: fluorescent nuclei that ship inside the stardist package."""

import numpy as np
from scipy.ndimage import find_objects

__all__ = ["cut_between", "nuclei_regions"]

SEARCH_PX = 24  # a cut may move this far from the wanted place
FACTS = {
    "title": "Fluorescent nuclei (real), 512x512",
    "modality": "fluorescence microscopy, nuclear stain",
    "axes": "YX",
    "licence": "BSD-3-Clause (test image of the stardist package)",
    "source": "stardist.data.test_image_nuclei_2d",
    "task": "instance",
    "citation": "Schmidt, Weigert, Broaddus, Myers: Cell Detection with Star-Convex Polygons. "
    "MICCAI 2018, doi:10.1007/978-3-030-00934-2_30",
}


def nuclei_regions(*, seed=None):
    """Cut the real image into training, validation and test regions.

    Parameters
    ----------
    seed : int, optional
        Without effect: the image is real, and the cut is fixed.

    Returns
    -------
    dict of str to list of (image, labels)
        Two regions for `train`, one for `val` and two for `test`; images uint16 YX, labels
        int32 YX numbered from 1.

    Notes
    -----
    No pixel and no nucleus is in two regions: along each cut a strip is left out, a few
    pixels wide, and the cut lies where that strip is narrowest.
    """
    from skimage.measure import label
    from stardist.data import test_image_nuclei_2d

    image, labels = test_image_nuclei_2d(return_mask=True)
    whole = (slice(0, image.shape[0]), slice(0, image.shape[1]))
    train, rest = cut_between(labels, whole, axis=1, at=250)
    val, test = cut_between(labels, rest, axis=0, at=200)
    places = {
        "train": cut_between(labels, train, axis=0, at=256),
        "val": [val],
        "test": cut_between(labels, test, axis=0, at=350),
    }
    return {
        split: [(image[p], label(labels[p], connectivity=2).astype(np.int32)) for p in several]
        for split, several in places.items()
    }


def cut_between(labels, region, *, axis, at):
    """Cut a region in two so that no object has pixels in both parts.

    Parameters
    ----------
    labels : ndarray of int, YX
        Label image, 0 is background.
    region : tuple of slice
        The part of `labels` to cut.
    axis : int
        0 cuts into upper and lower part, 1 into left and right.
    at : int
        Wanted row or column of the cut, counted in the whole image; it may move by
        `SEARCH_PX` to make the strip that is left out as narrow as possible.

    Returns
    -------
    list of tuple of slice
        The two parts, in the coordinates of `labels`.
    """
    boxes = [box[axis] for box in find_objects(labels[region].astype(np.int32)) if box]
    start = region[axis].start

    def resume(end):
        return max([b.stop for b in boxes if b.start < end < b.stop], default=end)

    ends = range(at - start - SEARCH_PX, at - start + SEARCH_PX + 1)
    end = min(ends, key=lambda e: (resume(e) - e, abs(e - (at - start))))
    parts = [slice(start, start + end), slice(start + resume(end), region[axis].stop)]
    return [tuple(part if i == axis else s for i, s in enumerate(region)) for part in parts]
