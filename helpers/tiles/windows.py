"""Where overlapping windows lie in an image, and weights that blend them without seams."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

__all__ = ["Windows", "fit_tile_shape", "plan_blocks", "plan_windows"]


@dataclass(frozen=True, eq=False)
class Windows:
    """Where the windows lie, and how much each counts at each of its pixels.

    Attributes
    ----------
    shape, tile_shape : tuple of int
        Spatial shape of the image and of a window.
    starts : tuple of ndarray of int
        For each axis the first pixel of its windows; 0 or negative where the image is not
        larger than a window. The windows are all combinations.
    weights : tuple of ndarray of float32, each (windows along the axis, side of a window)
        For each axis; the weight of a pixel is the product over the axes. At each pixel of
        the image the weights of all windows sum to one.
    """

    shape: tuple[int, ...]
    tile_shape: tuple[int, ...]
    starts: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        """Return the number of windows."""
        return math.prod(len(starts) for starts in self.starts)

    def reach(self, numbers: Sequence[int]) -> list[tuple[int, int]]:
        """Return for each axis the first and one past the last pixel where a window counts.

        Parameters
        ----------
        numbers : sequence of int
            The window's number along each axis.
        """
        return [self._reach_along(axis, number) for axis, number in enumerate(numbers)]

    def touching(self, block: Sequence[slice]) -> list[tuple[int, ...]]:
        """Return the numbers of all windows that count in a block, first axis slowest."""
        along = []
        for axis, side in enumerate(block):
            reach = [self._reach_along(axis, i) for i in range(len(self.starts[axis]))]
            along.append([i for i, (a, b) in enumerate(reach) if a < side.stop and b > side.start])
        return list(product(*along))

    def _reach_along(self, axis: int, number: int) -> tuple[int, int]:
        counts = np.flatnonzero(self.weights[axis][number]) + self.starts[axis][number]
        return int(counts[0]), int(counts[-1]) + 1


def plan_windows(
    shape: Sequence[int],
    tile_shape: Sequence[int],
    overlap: int | Sequence[int],
    *,
    margin: int | Sequence[int] | None = None,
    step: int = 1,
) -> Windows:
    """Return windows that cover an image, with weights that sum to one at every pixel.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the image, YX or ZYX, at least one pixel along each axis.
    tile_shape : sequence of int
        Shape of a window, which the network sees.
    overlap : int or sequence of int
        Neighbours share at least so many pixels; surplus is spread evenly.
    margin : int or sequence of int, optional
        So many pixels along the sides of a window count nothing, except at the image's own
        border; by default a quarter of the overlap. If the network looks no farther than
        this, the result is that of the whole image.
    step : int
        Windows start at multiples of it (the last one along an axis ends with the image). A
        network that pools k times gives the same for windows moved by ``2**k`` only.

    Returns
    -------
    Windows
        All inside of the image; one window, larger than the image, along an axis where the
        image is smaller.

    Raises
    ------
    ValueError
        If the numbers of axes differ, or overlap, margin and step leave no way forward.

    Notes
    -----
    Along each axis a window's raw weight is ``sin(pi t / 2)**2`` with t rising from 0 to 1
    over ``overlap - 2 margin`` pixels from the margin on; it is divided by the sum of all
    windows' raw weights at the same pixel, which makes the sum one for every size.

    Examples
    --------
    >>> windows = plan_windows((10, 3), (4, 4), 1)
    >>> [starts.tolist() for starts in windows.starts]
    [[0, 3, 6], [0]]
    """
    shape, tile_shape = tuple(map(int, shape)), tuple(map(int, tile_shape))
    overlap = _per_axis(overlap, tile_shape, "overlap")
    margin = tuple(n // 4 for n in overlap) if margin is None else margin
    margin = _per_axis(margin, tile_shape, "margin")
    _check_plan(shape, tile_shape, overlap, margin, step)
    axes = list(zip(shape, tile_shape, overlap, margin, strict=True))
    starts = tuple(_place_windows(length, tile, shared, step) for length, tile, shared, _ in axes)
    weights = tuple(
        _weigh_windows(begin, length, tile, shared - 2 * edge, edge)
        for begin, (length, tile, shared, edge) in zip(starts, axes, strict=True)
    )
    return Windows(shape, tile_shape, starts, weights)


def fit_tile_shape(
    shape: Sequence[int],
    tile_shape: Sequence[int],
    overlap: int | Sequence[int],
    *,
    divisor: int | Sequence[int] = 1,
    square: bool = False,
) -> tuple[int, ...]:
    """Return the smallest window that covers an image with no more windows than a given one.

    Surplus overlap costs time: 256 pixels with an overlap of 32 cover 1024 in five windows,
    but 240 do so too.

    Parameters
    ----------
    shape, tile_shape, overlap
        As in :func:`plan_windows`.
    divisor : int or sequence of int
        The network needs sides that are multiples of these; `tile_shape` has such sides.
    square : bool
        Whether Y and X must be equal, as test-time turns want.

    Returns
    -------
    tuple of int
        Not larger than `tile_shape` along any axis.

    Raises
    ------
    ValueError
        If the overlap leaves no way forward.

    Examples
    --------
    >>> fit_tile_shape((768, 1024), (256, 256), 32, divisor=16)
    (224, 240)
    """
    tile_shape = tuple(map(int, tile_shape))
    overlap = _per_axis(overlap, tile_shape, "overlap")
    divisor = _per_axis(divisor, tile_shape, "divisor")
    _check_plan(shape, tile_shape, overlap, (0,) * len(tile_shape), 1)
    sides = []
    for length, tile, shared, unit in zip(shape, tile_shape, overlap, divisor, strict=True):
        count = max(1, -(-(length - shared) // (tile - shared)))
        needed = -(-(length - shared) // count) + shared
        # at least so large that the overlap still leaves a way forward
        sides.append(min(tile, -(-max(needed, shared + 1) // unit) * unit))
    if square:
        sides[-2:] = [max(sides[-2:])] * 2
    return tuple(sides)


def plan_blocks(shape: Sequence[int], block_shape: Sequence[int]) -> list[tuple[slice, ...]]:
    """Return boxes side by side that fill a shape, the last ones smaller if need be.

    Parameters
    ----------
    shape, block_shape : sequence of int
        Spatial shape of the image and of a block, for instance the chunks of the output.

    Returns
    -------
    list of tuple of slice
        One tuple per block, first axis slowest.

    Examples
    --------
    >>> [block[0] for block in plan_blocks((5, 4), (3, 4))]
    [slice(0, 3, None), slice(3, 5, None)]
    """
    sides = [
        [slice(begin, min(begin + int(size), length)) for begin in range(0, length, int(size))]
        for length, size in zip(shape, block_shape, strict=True)
    ]
    return list(product(*sides))


def _place_windows(length: int, tile: int, overlap: int, step: int) -> np.ndarray:
    if length <= tile:
        return np.array([-((tile - length) // 2)])
    stride = (tile - overlap) // step * step
    way = -(-(length - tile) // step) * step
    count = 1 + -(-way // stride)
    return np.minimum(np.arange(count) * way // (count - 1) // step * step, length - tile)


def _weigh_windows(
    starts: np.ndarray, length: int, tile: int, ramp: int, margin: int
) -> np.ndarray:
    place = np.arange(tile)
    pixel = starts[:, None] + place
    inside = (pixel >= 0) & (pixel < length)
    # the border of the image is no side to fade at: no other window sees beyond it
    from_start = np.where(starts[:, None] > 0, place + 0.5, np.inf)
    from_end = np.where(starts[:, None] + tile < length, tile - 0.5 - place, np.inf)
    depth = np.minimum(from_start, from_end) - margin
    raw = np.sin(np.pi / 2 * np.clip(depth / max(ramp, 1e-9), 0, 1)) ** 2 * inside
    total = np.zeros(length)
    np.add.at(total, pixel[inside], raw[inside])
    return (raw / total[np.clip(pixel, 0, length - 1)]).astype(np.float32)


def _per_axis(value, tile_shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    values = (value,) * len(tile_shape) if np.isscalar(value) else tuple(value)
    if len(values) != len(tile_shape):
        raise ValueError(
            f"{name} is {value} for windows of {len(tile_shape)} axes: give one number, or one "
            "for each axis"
        )
    return tuple(map(int, values))


def _check_plan(shape, tile_shape, overlap, margin, step) -> None:
    if len(shape) != len(tile_shape) or len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(
            f"shape is {shape} and tile_shape {tile_shape}: give two or three sides for both, "
            "all of at least one pixel"
        )
    for tile, shared, edge in zip(tile_shape, overlap, margin, strict=True):
        if step < 1 or not 0 <= 2 * edge <= shared <= tile - step:
            raise ValueError(
                f"tile_shape is {tile_shape}, overlap {overlap}, margin {margin}, step {step}: "
                "the overlap must be at least twice the margin, and smaller than the window by "
                "at least a step"
            )
