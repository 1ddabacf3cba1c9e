"""Patches for training, drawn where there is something to see: masks, YX or ZYX."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

__all__ = ["PatchSampler", "drop_cut_objects", "patch_batches", "supervised_batches"]


class PatchSampler:
    """Draws places of patches, so that few of them show background alone.

    Parameters
    ----------
    masks : sequence of ndarray, YX or ZYX
        Every value above 0 is foreground. Shapes may differ.
    patch_shape : sequence of int
        Sides of a patch in pixels; not larger than any mask.
    foreground : float or None
        Share of the patches whose centre is a foreground pixel; the others are centred on
        background. None: every place in the image is equally likely.

    Raises
    ------
    ValueError
        If there are no masks, one is smaller than a patch or has other axes, or `foreground`
        is no share.

    Notes
    -----
    An image is drawn with the chance of its share of all pixels; a mask without foreground
    gives uniform places. A patch that would leave the image is moved inside, so its centre is
    not always the pixel drawn. The default is the published share (Franco-Barranco et al.
    2022, after Cheng and Varshney 2017).
    """

    def __init__(
        self,
        masks: Sequence[np.ndarray],
        patch_shape: Sequence[int],
        *,
        foreground: float | None = 0.94,
    ):
        self.patch_shape = tuple(map(int, patch_shape))
        self.shapes = [np.shape(mask) for mask in masks]
        self._check(foreground)
        self.foreground = foreground
        sizes = np.array([np.prod(shape, dtype=float) for shape in self.shapes])
        self.chances = sizes / sizes.sum()
        self._masks = [np.asarray(mask) for mask in masks]
        self._places = None
        if foreground is not None:
            self._places = [np.flatnonzero(mask > 0) for mask in self._masks]

    def draw(self, rng: np.random.Generator) -> tuple[int, tuple[slice, ...]]:
        """Return the number of an image and the box of a patch in it."""
        number = int(rng.choice(len(self.shapes), p=self.chances))
        shape = self.shapes[number]
        room = [side - patch + 1 for side, patch in zip(shape, self.patch_shape, strict=True)]
        if self._places is None or not self._places[number].size:
            starts = [int(rng.integers(n)) for n in room]
        else:
            centre = np.unravel_index(self._draw_pixel(number, rng), shape)
            starts = [
                int(np.clip(c - patch // 2, 0, n - 1))
                for c, patch, n in zip(centre, self.patch_shape, room, strict=True)
            ]
        return number, tuple(
            slice(a, a + patch) for a, patch in zip(starts, self.patch_shape, strict=True)
        )

    def _draw_pixel(self, number: int, rng: np.random.Generator) -> int:
        places, mask = self._places[number], self._masks[number]
        if places.size == mask.size or rng.random() < self.foreground:
            return int(places[rng.integers(places.size)])
        while True:  # an index of all background pixels would need eight bytes for each
            pixel = int(rng.integers(mask.size))
            if not mask.flat[pixel] > 0:
                return pixel

    def _check(self, foreground: float | None) -> None:
        if not self.shapes:
            raise ValueError("masks is empty: give the mask of at least one image")
        for shape in self.shapes:
            if len(shape) != len(self.patch_shape):
                raise ValueError(
                    f"a mask has shape {shape} and patch_shape is {self.patch_shape}: give masks "
                    "with the axes of the patch; for 2D patches of a volume, its slices"
                )
            if any(side < patch for side, patch in zip(shape, self.patch_shape, strict=True)):
                raise ValueError(
                    f"a mask has shape {shape}, smaller than patch_shape {self.patch_shape}: lower "
                    "patch_shape"
                )
        if foreground is not None and not 0 <= foreground <= 1:
            raise ValueError(f"foreground is {foreground}: give a share from 0 to 1, or None")


def drop_cut_objects(mask: np.ndarray) -> np.ndarray:
    """Return a mask without the objects that touch its border, for sampling whole objects.

    Parameters
    ----------
    mask : ndarray, YX or ZYX
        Foreground is above 0.

    Returns
    -------
    ndarray of bool
        Of a volume, each slice is treated as an image of its own, as published; there an
        object is a connected piece, corners included.

    Examples
    --------
    >>> drop_cut_objects(np.pad([[1]], 1, constant_values=0)).sum()
    np.int64(1)
    """
    from skimage.segmentation import clear_border

    mask = np.asarray(mask) > 0
    if mask.ndim == 2:
        return clear_border(mask)
    return np.stack([clear_border(plane) for plane in mask])


def patch_batches(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    *,
    patch_shape: Sequence[int],
    batch_size: int,
    foreground: float | None = 0.5,
    places: Sequence[np.ndarray] | None = None,
    augment: Callable | None = None,
    target: Callable | None = None,
    seed: int = 42,
) -> Callable[[int], Iterator[tuple[np.ndarray, np.ndarray]]]:
    """Return the endless batches of each epoch, for `helpers.training.fit`.

    Parameters
    ----------
    images : sequence of ndarray, YX or ZYX
        Normalised images. For 2D patches of volumes give slices.
    masks : sequence of ndarray
        Their masks; every value above 0 is foreground.
    patch_shape, foreground
        As in :class:`PatchSampler`. Half of the patches on foreground keeps the share of
        foreground in a batch near that of a small field of view, which the output's bias and
        the threshold then fit.
    batch_size : int
        Patches per batch.
    places : sequence of ndarray, optional
        Masks to draw places by, such as those of :func:`drop_cut_objects`, instead of `masks`.
    augment : callable, optional
        ``image, mask = augment(image, mask, rng)``, for each patch.
    target : callable, optional
        ``target(mask)`` gives what is learned from the mask of a patch, with channels last,
        such as mask and border weights; by default the mask itself.
    seed : int
        With the number of the epoch, it decides every draw.

    Returns
    -------
    callable
        ``batches(epoch)`` gives ``(patches, targets)``: float32 of shape
        ``(batch_size, *patch_shape, 1)``, and uint8 of the same shape, or what `target` gives.

    Raises
    ------
    ValueError
        As :class:`PatchSampler`, and if images and masks do not fit each other.
    """
    groups = (images, masks, *([] if places is None else [places]))
    if len({tuple(np.shape(a) for a in arrays) for arrays in groups}) > 1:
        raise ValueError(
            f"{len(images)} images and {len(masks)} masks do not have the same shapes: give one "
            "mask of its own shape for each image"
        )
    sampler = PatchSampler(masks if places is None else places, patch_shape, foreground=foreground)

    def cut(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        number, box = sampler.draw(rng)
        pair = images[number][box], (masks[number][box] > 0).astype(np.uint8)
        image, mask = augment(*pair, rng) if augment else pair
        return image[..., None], mask[..., None] if target is None else target(mask)

    def batches(epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng([seed, epoch])
        while True:
            x, y = zip(*(cut(rng) for _ in range(batch_size)), strict=True)
            yield np.stack(x).astype(np.float32, copy=False), np.stack(y)

    return batches


def supervised_batches(batches: Callable, model) -> Callable:
    """Return the batches with one target for each output of a network.

    Parameters
    ----------
    batches : callable
        Of :func:`patch_batches`.
    model : keras.Model
        Of `helpers.unets.build_unet`; only with deep supervision anything changes.
    """
    from helpers.unets import supervision_targets

    def for_all_outputs(epoch: int) -> Iterator[tuple]:
        return ((x, supervision_targets(model, y)) for x, y in batches(epoch))

    return for_all_outputs
