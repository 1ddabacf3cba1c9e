"""Where and how to cut crops for the training of EmbedSeg."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import find_objects

from helpers.embedseg.medoids import CENTER_KINDS, find_centers, mark_centers
from helpers.embedseg.network import DIVISOR
from helpers.embedseg.space import EmbeddingSpace

__all__ = ["CropSource", "suggest_crop_size", "suggest_space"]


def suggest_crop_size(
    labels: Sequence[np.ndarray],
    *,
    n_std: float = 5.0,
    limit: int | None = None,
    multiple: int = DIVISOR,
) -> tuple[int, ...]:
    """Return a crop size that holds an object and its surroundings.

    Parameters
    ----------
    labels : sequence of ndarray of int, YX or ZYX
        Training labels.
    n_std : float
        How many standard deviations of the extent to add to its mean; the published settings
        use 5, and 1 to 3 for large volumes.
    limit : int, optional
        Largest side in pixels, for a small machine.
    multiple : int
        What the network shrinks by; a multiple of 8.

    Returns
    -------
    tuple of int
        Sides in the order of the axes, multiples of `multiple`, Y and X equal.

    Raises
    ------
    ValueError
        If there is no object.

    Notes
    -----
    ``mean + n_std * std`` of (last - first pixel) along each axis, rounded up; Y and X take
    the larger of their two. An image smaller than the crop is padded. Source: Lalit et al. 2021.

    Examples
    --------
    >>> suggest_crop_size([np.kron([[0, 1, 0]], np.ones((11, 21), int))])
    (24, 24)
    """
    extents = _measure_extents(labels)
    wanted = extents.mean(axis=0) + n_std * extents.std(axis=0)
    wanted[-2:] = wanted[-2:].max()
    wanted = np.minimum(wanted, limit or np.inf)
    sides = multiple * np.maximum(np.ceil(wanted / multiple), 1)
    if limit:
        sides = np.minimum(sides, max(multiple, limit // multiple * multiple))
    return tuple(int(side) for side in sides)


def suggest_space(labels: Sequence[np.ndarray], spacing: Sequence[float]) -> EmbeddingSpace:
    """Return scales that fit the objects, with which a short training succeeds.

    Parameters
    ----------
    labels : sequence of ndarray of int, YX or ZYX
        Training labels.
    spacing : sequence of float
        Pixel or voxel size in the order of the axes.

    Returns
    -------
    EmbeddingSpace
        Its reach is the longest extent of all objects along one axis, its radius 0.3 times
        the mean extent. (The published scales are 1000 and 6 pixels for all data.)

    Raises
    ------
    ValueError
        If there is no object.
    """
    extents = (_measure_extents(labels) + 1) * np.asarray(spacing)
    return EmbeddingSpace(spacing, reach=extents.max(), radius=0.3 * extents.mean())


def _measure_extents(labels: Sequence[np.ndarray]) -> np.ndarray:
    """Return last minus first pixel of each object along each axis."""
    boxes = [box for y in labels for box in find_objects(np.maximum(y, 0)) if box]
    if not boxes:
        raise ValueError("labels hold no object: give training labels with objects")
    return np.array([[side.stop - side.start - 1 for side in box] for box in boxes], float)


class CropSource:
    """Images and labels prepared for cutting crops: centres and boxes of all objects.

    Parameters
    ----------
    images : sequence of ndarray, YX, ZYX, YXC or ZYXC
        Normalised images; a channel axis where they have one axis more than their labels.
    labels : sequence of ndarray of int, YX or ZYX
        0 is background, -1 is not annotated.
    crop_shape : sequence of int
        Sides of a crop in the order of the axes, multiples of 8.
    center : {"medoid", "approximate_medoid", "centroid", "random"}
        Which pixel of an object the network learns to point at.
    spacing : sequence of float, optional
        Pixel or voxel size, for the medoid.

    Raises
    ------
    ValueError
        If images and labels do not fit together, or an argument is impossible.

    Notes
    -----
    An object that a crop cuts gets a new centre, of the part inside; the centres of all other
    objects are computed once, here. An image smaller than the crop is mirrored at its end,
    and the added part counts as not annotated.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        labels: Sequence[np.ndarray],
        crop_shape: Sequence[int],
        *,
        center: str = "medoid",
        spacing: Sequence[float] | None = None,
    ):
        self.shape, self.center, self.spacing = tuple(map(int, crop_shape)), center, spacing
        if center not in CENTER_KINDS:
            raise ValueError(f"center is {center!r}: give one of {', '.join(CENTER_KINDS)}")
        if any(side < DIVISOR or side % DIVISOR for side in self.shape):
            raise ValueError(f"crop_shape is {self.shape}: give multiples of {DIVISOR}")
        _check_pairs(images, labels, len(self.shape))
        pairs = [self._pad(*pair) for pair in zip(images, labels, strict=True)]
        self.images, self.labels = [list(arrays) for arrays in zip(*pairs, strict=True)]
        self.sizes = [np.bincount(np.maximum(y, 0).ravel()) for y in self.labels]
        self.centers = [
            {} if center == "random" else find_centers(y, center=center, spacing=spacing)
            for y in self.labels
        ]
        self.objects = [
            (number, [(side.start + side.stop) / 2 for side in box])
            for number, y in enumerate(self.labels)
            for box in find_objects(np.maximum(y, 0))
        ]

    def _pad(self, image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        image = np.asarray(image, np.float32)
        image = image if image.ndim > labels.ndim else image[..., None]
        names = np.unique(labels[labels > 0])
        labels = np.where(labels > 0, np.searchsorted(names, labels) + 1, labels).astype(np.int32)
        sides = zip(self.shape, labels.shape, strict=True)
        missing = [(0, max(0, want - have)) for want, have in sides]
        labels = np.pad(labels, missing, constant_values=-1)
        return np.pad(image, [*missing, (0, 0)], mode="symmetric"), labels

    def cut(
        self, number: int, middle: Sequence[float], rng: np.random.Generator | int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cut the crop around a place, moved inside the image.

        Parameters
        ----------
        number : int
            Which image.
        middle : sequence of float
            Wanted middle of the crop, in pixels.
        rng : numpy.random.Generator or int
            Used by the centre "random" alone.

        Returns
        -------
        image, labels, centers : ndarray
            float32 with a channel axis; int32, objects numbered from 1, the largest first;
            uint8, 1 on the centre pixel of each object. A centroid outside its object is
            left out; the loss then takes the mean position itself.
        """
        sides = zip(middle, self.shape, self.labels[number].shape, strict=True)
        starts = [int(np.clip(round(m - side / 2), 0, n - side)) for m, side, n in sides]
        box = tuple(slice(a, a + side) for a, side in zip(starts, self.shape, strict=True))
        labels = self.labels[number][box]
        centers = self._find_centers(number, labels, starts, rng)
        return self.images[number][box], _number_by_size(labels), mark_centers(labels, centers)

    def _find_centers(self, number: int, labels: np.ndarray, starts: list[int], rng) -> dict:
        """Look up the centres of whole objects; compute those of parts."""
        known, sizes = self.centers[number], np.bincount(np.maximum(labels, 0).ravel())
        present = (np.flatnonzero(sizes[1:]) + 1).tolist()
        whole = [k for k in present if k in known and sizes[k] == self.sizes[number][k]]
        centers = {k: tuple(p - a for p, a in zip(known[k], starts, strict=True)) for k in whole}
        if len(whole) < len(present):
            parts = np.where(np.isin(labels, whole), 0, labels)
            options = {"center": self.center, "spacing": self.spacing, "rng": rng}
            centers |= find_centers(parts, **options)
        return centers

    def most_objects(self, *, max_crops: int = 500) -> int:
        """Return the largest number of objects in one crop: slots that the loss needs.

        Of more than `max_crops` objects, every k-th is tried; at least 1.
        """
        tried = self.objects[:: -(-len(self.objects) // max_crops) or 1]
        return max((int(self.cut(*place)[1].max()) for place in tried), default=1)

    def draw_background(self, rng: np.random.Generator) -> tuple[int, tuple[int, ...]]:
        """Draw an image, large ones more often, and a background pixel of it as middle."""
        sizes = np.array([y.size for y in self.labels], float)
        number = int(rng.choice(len(sizes), p=sizes / sizes.sum()))
        labels = self.labels[number]
        for _ in range(100):  # an image without background gets any pixel
            pixel = tuple(int(rng.integers(n)) for n in labels.shape)
            if labels[pixel] == 0:
                break
        return number, pixel


def _number_by_size(labels: np.ndarray) -> np.ndarray:
    """Renumber objects from 1, the largest first, so that the slots of the loss hold those."""
    sizes = np.bincount(np.maximum(labels, 0).ravel())
    sizes[0] = 0
    rank = np.empty(len(sizes), np.int32)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(1, len(sizes) + 1)
    return np.where(labels > 0, rank[np.maximum(labels, 0)], labels).astype(np.int32)


def _check_pairs(images: Sequence, labels: Sequence, ndim: int) -> None:
    if len(images) != len(labels) or not len(images):
        raise ValueError(f"got {len(images)} images and {len(labels)} labels: give as many of each")
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        fits = np.shape(image)[:ndim] == np.shape(label) and np.ndim(image) - ndim in (0, 1)
        if np.ndim(label) != ndim or not fits:
            raise ValueError(
                f"image {number} has shape {np.shape(image)} and labels {np.shape(label)}, but "
                f"crops have {ndim} axes: give images of the shape of their labels, channels last"
            )
