"""Blind-spot batches: how Noise2Void learns from noisy images alone.

A few pixels of each patch are replaced, and the network is asked for what stood there. Noise
that differs from pixel to pixel cannot be guessed from the neighbours, structure can, so the
best answer is the image without its noise (Krull et al. 2019, arXiv:1811.10980).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np

__all__ = ["blind_spot_batches", "choose_pixels", "draw_patches", "mask_pixels"]


def blind_spot_batches(
    images: Sequence[np.ndarray],
    patch_size: Sequence[int],
    *,
    batch_size: int,
    percent: float = 1.5,
    radius: int = 5,
    replace_by: str = "neighbour",
    seed: int = 42,
) -> Callable[[int], Iterator[tuple[np.ndarray, np.ndarray]]]:
    """Return the endless batches of each epoch, for `helpers.training.fit`.

    Parameters
    ----------
    images : sequence of ndarray, YX or ZYX
        Noisy images, already normalised.
    patch_size : sequence of int
        Sides of the patches in pixels.
    batch_size : int
        Patches per batch.
    percent, radius, replace_by
        As in `mask_pixels`.
    seed : int
        With the number of the epoch, it decides every draw.

    Returns
    -------
    callable
        ``batches(epoch)`` gives ``(inputs, targets)`` of `mask_pixels` without end.

    Raises
    ------
    ValueError
        If no image is as large as a patch.
    """
    _weigh_images(images, patch_size)  # fails now and not in the middle of a training

    def batches(epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng([seed, epoch])
        while True:
            patches = draw_patches(images, patch_size, batch_size, rng=rng)
            yield mask_pixels(
                patches, rng=rng, percent=percent, radius=radius, replace_by=replace_by
            )

    return batches


def draw_patches(
    images: Sequence[np.ndarray], patch_size: Sequence[int], n: int, *, rng: np.random.Generator
) -> np.ndarray:
    """Cut random patches, flipped and turned at random; every pixel is equally likely.

    Parameters
    ----------
    images : sequence of ndarray, YX or ZYX
        Images of any size; those smaller than a patch are not used.
    patch_size : sequence of int
        Sides of a patch in pixels. Only square patches are turned.
    n : int
        Number of patches.
    rng : numpy.random.Generator
        Source of all draws.

    Returns
    -------
    ndarray of float32, shape (n, *patch_size)

    Raises
    ------
    ValueError
        If no image is as large as a patch.
    """
    weights = _weigh_images(images, patch_size)
    square = patch_size[-1] == patch_size[-2]
    patches = np.empty((n, *patch_size), np.float32)
    for patch, index in zip(patches, rng.choice(len(images), n, p=weights), strict=True):
        image = images[index]
        starts = [rng.integers(s - p + 1) for s, p in zip(image.shape, patch_size, strict=True)]
        window = image[tuple(slice(a, a + p) for a, p in zip(starts, patch_size, strict=True))]
        if square and rng.integers(2):
            window = np.swapaxes(window, -1, -2)
        patch[...] = window[tuple(slice(None, None, 1 - 2 * rng.integers(2)) for _ in starts)]
    return patches


def mask_pixels(
    patches: np.ndarray,
    *,
    rng: np.random.Generator,
    percent: float = 1.5,
    radius: int = 5,
    replace_by: str = "neighbour",
) -> tuple[np.ndarray, np.ndarray]:
    """Hide some pixels of every patch, for all patches at once.

    Parameters
    ----------
    patches : ndarray of float32, NYX or NZYX
        Normalised noisy patches.
    rng : numpy.random.Generator
        Source of all draws.
    percent : float
        Share of hidden pixels in percent, see `choose_pixels`.
    radius : int
        The neighbourhood reaches so many pixels each way; at a border it is cut off.
    replace_by : {"neighbour", "median"}
        A random neighbour, never the pixel itself; or the median of all neighbours (N2V2,
        Höck et al. 2022, arXiv:2211.08512), which leaves no chequered pattern.

    Returns
    -------
    inputs : ndarray of float32, shape (*patches.shape, 1)
        The patches with the hidden pixels replaced.
    targets : ndarray of float32, shape (*patches.shape, 2)
        Channel 0: the true value of hidden pixels, else 0; channel 1: 1 at hidden pixels. The
        loss of the n2v package reads it so.

    Raises
    ------
    ValueError
        If `replace_by` is not known, or the neighbourhood holds no other pixel.
    """
    choose = {"neighbour": _random_neighbour, "median": _median_neighbour}
    if replace_by not in choose:
        raise ValueError(f"replace_by is {replace_by!r}: give 'neighbour' or 'median'")
    if radius < 1 or min(patches.shape[1:]) < 2:
        raise ValueError(
            f"radius is {radius} and patches have shape {patches.shape[1:]}: a pixel needs "
            "neighbours, so give a radius of at least 1 and sides of at least 2 pixels"
        )
    hidden = choose_pixels(patches.shape, rng=rng, percent=percent)
    inputs = np.array(patches, np.float32)
    targets = np.zeros((*patches.shape, 2), np.float32)
    targets[(*hidden, 0)] = patches[hidden]
    targets[(*hidden, 1)] = 1
    inputs[hidden] = choose[replace_by](patches, hidden, radius, rng)
    return inputs[..., None], targets


def choose_pixels(
    shape: Sequence[int], *, rng: np.random.Generator, percent: float
) -> tuple[np.ndarray, ...]:
    """Draw one pixel in each box of a grid, so that hidden pixels are spread evenly.

    Parameters
    ----------
    shape : sequence of int
        Of the batch, NYX or NZYX.
    rng : numpy.random.Generator
        Source of the draws; every patch gets its own.
    percent : float
        Wanted share of pixels. The boxes have a side of ``(100 / percent) ** (1 / n_axes)``
        pixels, rounded; boxes at the border that stick out may lose their pixel.

    Returns
    -------
    tuple of ndarray of int
        Index arrays, one for each axis of `shape`.

    Raises
    ------
    ValueError
        If `percent` is not in 0 to 100 (0 excluded), or so small that a patch may get none.
    """
    if not 0 < percent <= 100:
        raise ValueError(f"percent is {percent}: give a share above 0 and up to 100")
    n_patches, *sides = shape
    box = max(1, round((100 / percent) ** (1 / len(sides))))
    if box > min(sides):
        raise ValueError(
            f"percent is {percent}, one pixel in a box of {box} pixels, but the patches have "
            f"sides {tuple(sides)}: raise percent, or enlarge the patches"
        )
    corners = [np.arange(0, side, box) for side in sides]
    boxes = np.stack(np.meshgrid(*corners, indexing="ij"), -1).reshape(1, -1, len(sides))
    places = boxes + rng.integers(0, box, (n_patches, boxes.shape[1], len(sides)))
    inside = (places < np.array(sides)).all(-1)
    return np.nonzero(inside)[0], *places[inside].T


def _weigh_images(images: Sequence[np.ndarray], patch_size: Sequence[int]) -> np.ndarray:
    sizes = [
        image.size if all(s >= p for s, p in zip(image.shape, patch_size, strict=True)) else 0
        for image in images
    ]
    if not any(sizes):
        raise ValueError(
            f"no image is as large as a patch of {tuple(patch_size)} pixels: lower patch_size"
        )
    return np.array(sizes) / sum(sizes)


def _random_neighbour(patches, hidden, radius, rng) -> np.ndarray:
    patch, *place = hidden
    place, sides = np.stack(place), np.array(patches.shape[1:])[:, None]
    low = np.maximum(place - radius, 0)
    width = np.minimum(place + radius, sides - 1) - low + 1
    # draw one of all places in the window but the last, and skip over the pixel itself
    drawn = rng.integers(0, width.prod(axis=0) - 1)
    drawn += drawn >= _ravel(place - low, width)
    return patches[(patch, *(low + _unravel(drawn, width)))]


def _ravel(place: np.ndarray, width: np.ndarray) -> np.ndarray:
    flat = np.zeros_like(place[0])
    for along, size in zip(place, width, strict=True):
        flat = flat * size + along
    return flat


def _unravel(flat: np.ndarray, width: np.ndarray) -> np.ndarray:
    place = []
    for size in width[::-1]:
        flat, along = np.divmod(flat, size)
        place.append(along)
    return np.stack(place[::-1])


def _median_neighbour(patches, hidden, radius, rng) -> np.ndarray:
    patch, *place = hidden
    sides = np.array(patches.shape[1:])
    reach = range(-radius, radius + 1)
    steps = np.array([s for s in product(reach, repeat=len(sides)) if any(s)])
    around = np.stack(place, -1)[:, None] + steps
    inside = ((around >= 0) & (around < sides)).all(-1)
    around = np.clip(around, 0, sides - 1)
    values = np.where(inside, patches[(patch[:, None], *np.moveaxis(around, -1, 0))], np.inf)
    values.sort(axis=1)  # what lies outside goes to the end
    count, rows = inside.sum(1), np.arange(len(values))
    return (values[rows, (count - 1) // 2] + values[rows, count // 2]) / 2
