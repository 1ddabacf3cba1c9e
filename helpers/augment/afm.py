"""Changes of height maps that a scanner could have made, and their masks with them.

Flips, 90-degree turns and zoom are in :mod:`helpers.augment`; what lies outside is the mirror
image of the inside, never the other end of the map: bowl-shaped glass would get a seam there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from helpers.augment.basic import flip_and_turn, zoom_and_rotate

__all__ = [
    "add_scan_lines",
    "add_tilt",
    "augment_map",
    "crop_batches",
    "random_crop",
    "vary_contrast",
]


def add_tilt(height: np.ndarray, rng: np.random.Generator, *, rise: float) -> np.ndarray:
    """Return the map on a tilted plane, as an imperfect flattening leaves it.

    Parameters
    ----------
    height : ndarray, YX
        Flattened heights.
    rng : numpy.random.Generator
        Draws the slopes along y and x, each between ±`rise`.
    rise : float
        Largest rise from the centre to an edge, in the unit of the map.

    Returns
    -------
    ndarray of float32, YX
        The centre keeps its height.
    """
    y, x = (np.linspace(-1, 1, n) for n in height.shape)
    slopes = rng.uniform(-rise, rise, 2)
    return (height + slopes[0] * y[:, None] + slopes[1] * x).astype(np.float32)


def add_scan_lines(
    height: np.ndarray, rng: np.random.Generator, *, noise: float, step: float
) -> np.ndarray:
    """Return the map with scan lines at slightly different heights.

    Parameters
    ----------
    height : ndarray, YX
        Scan lines are rows.
    rng : numpy.random.Generator
        Source of all draws.
    noise : float
        Largest standard deviation of the lines' offsets, in the unit of the map.
    step : float
        Standard deviation of one lasting step, which comes in every second map.

    Returns
    -------
    ndarray of float32, YX
        One constant is added to each row.
    """
    rows = rng.normal(0, rng.uniform(0, noise), len(height))
    if rng.random() < 0.5:
        rows[rng.integers(len(height)) :] += rng.normal(0, step)
    return (height + rows[:, None]).astype(np.float32)


def vary_contrast(
    height: np.ndarray, rng: np.random.Generator, *, gain: tuple[float, float] = (0.75, 1.33)
) -> np.ndarray:
    """Return the map stretched in height, as another spike would stretch a min-max export.

    Parameters
    ----------
    height : ndarray, YX
        Flattened heights: the glass is at 0 and stays there.
    rng : numpy.random.Generator
        Draws the factor; its logarithm is uniform.
    gain : tuple of float
        Limits of the factor, both above 0.

    Returns
    -------
    ndarray of float32, YX
    """
    return (height * np.exp(rng.uniform(*np.log(gain)))).astype(np.float32)


def augment_map(
    height: np.ndarray,
    mask: np.ndarray,
    rng: np.random.Generator,
    *,
    noise: float,
    zoom: tuple[float, float] = (0.8, 1.25),
    probability: float = 0.3,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a map and its mask after all changes of this module, one after the other.

    Parameters
    ----------
    height : ndarray of float, YX
        Flattened heights, not yet scaled.
    mask : ndarray of int, YX
        Its mask; moves with the map, by nearest neighbour.
    rng : numpy.random.Generator
        Source of all draws.
    noise : float
        Standard deviation of the glass: the measure for tilt and scan lines.
    zoom, probability
        As in :func:`helpers.augment.zoom_and_rotate`.

    Returns
    -------
    height : ndarray of float32
    mask : ndarray
        Of the shape and with the values of the given ones.

    Notes
    -----
    Scan lines are added before the map is turned by 90 degrees, so they run along both axes.
    """
    height = add_scan_lines(height, rng, noise=0.5 * noise, step=noise)
    height = add_tilt(vary_contrast(height, rng), rng, rise=2 * noise)
    height, mask = flip_and_turn(height, mask, rng)
    return zoom_and_rotate(height, mask, rng, zoom=zoom, probability=probability)


def random_crop(
    height: np.ndarray, mask: np.ndarray, rng: np.random.Generator, *, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a square of map and mask; a smaller map is mirrored at its edges first.

    Parameters
    ----------
    height, mask : ndarray, YX
        Of one shape.
    rng : numpy.random.Generator
        Draws the place.
    size : int
        Side in pixels.
    """
    lacking = [(0, max(0, size - n)) for n in height.shape]
    if any(after for _, after in lacking):
        height, mask = (np.pad(a, lacking, mode="symmetric") for a in (height, mask))
    y, x = (int(rng.integers(n - size + 1)) for n in height.shape)
    box = slice(y, y + size), slice(x, x + size)
    return height[box], mask[box]


def crop_batches(
    heights: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    *,
    size: int,
    batch_size: int,
    seed: int,
    vary: Callable = flip_and_turn,
    finish: Callable = np.float32,
) -> Callable:
    """Return endless batches of random crops, for :func:`helpers.training.fit`.

    Parameters
    ----------
    heights, masks : sequence of ndarray, YX
        Training maps and masks.
    size : int
        Side of the crops in pixels.
    batch_size : int
        Crops in a batch, from different maps as long as there are enough.
    seed : int
        Same seed and epoch, same crops.
    vary : callable
        ``vary(height, mask, rng)`` returns both changed, such as :func:`augment_map`.
    finish : callable
        Applied to each changed map, such as :func:`helpers.afm.heightmaps.scale_heights`.

    Returns
    -------
    callable
        ``batches(epoch)`` yields (x, y): float32, (N, size, size, 1).

    Raises
    ------
    ValueError
        If there are no maps, or not as many masks.
    """
    if not len(heights) or len(heights) != len(masks):
        raise ValueError(f"got {len(heights)} maps and {len(masks)} masks: give one mask per map")

    def make_crop(i, rng):
        crop = random_crop(heights[i], masks[i], rng, size=size)
        height, mask = vary(np.asarray(crop[0], np.float32), crop[1], rng)
        return finish(height), mask

    def batches(epoch):
        rng = np.random.default_rng([seed, epoch])
        order: list[int] = []
        while True:
            while len(order) < batch_size:
                order += rng.permutation(len(heights)).tolist()
            crops = [make_crop(order.pop(0), rng) for _ in range(batch_size)]
            x, y = (
                np.stack(part).astype(np.float32)[..., None] for part in zip(*crops, strict=True)
            )
            yield x, y

    return batches
