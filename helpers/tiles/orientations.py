"""Flips and turns of an image that lose nothing, for predicting one image several times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

__all__ = ["Turn", "restore_vectors", "turns"]


@dataclass(frozen=True)
class Turn:
    """One way of turning an image: its axes are reordered, then some are reversed.

    Attributes
    ----------
    axes : tuple of int
        Axis j of the turned image is the axis ``axes[j]`` of the image.
    signs : tuple of int
        -1 where axis j of the turned image runs backwards, 1 elsewhere.
    """

    axes: tuple[int, ...]
    signs: tuple[int, ...]

    def apply(self, batch: np.ndarray) -> np.ndarray:
        """Return a batch turned: NYXC or NZYXC in and out."""
        return batch.transpose(_whole_order(self.axes))[self._flips()]

    def invert(self, batch: np.ndarray) -> np.ndarray:
        """Return a turned batch as it was before :meth:`apply`: NYXC or NZYXC in and out."""
        return batch[self._flips()].transpose(_whole_order(np.argsort(self.axes)))

    @property
    def matrix(self) -> np.ndarray:
        """Signed permutation M, (axes, axes): the vector v of the image becomes M v."""
        return np.diag(self.signs) @ np.eye(len(self.axes), dtype=int)[list(self.axes)]

    def _flips(self) -> tuple[slice, ...]:
        return (slice(None), *(slice(None, None, sign) for sign in self.signs))


def turns(ndim: int, *, square: bool = True) -> tuple[Turn, ...]:
    """Return all distinct flips and turns, the one that changes nothing first.

    Parameters
    ----------
    ndim : {2, 3}
        Number of spatial axes, YX or ZYX.
    square : bool
        Whether Y and X may change places, which needs tiles of equal sides in Y and X.
        Z never changes places with them, because its steps usually have another size.

    Returns
    -------
    tuple of Turn
        8 for YX (the dihedral group of the square), 16 for ZYX (the same times a flip of Z);
        half of them without `square`.

    Raises
    ------
    ValueError
        If `ndim` is not 2 or 3.

    Examples
    --------
    >>> [len(turns(ndim, square=square)) for ndim in (2, 3) for square in (True, False)]
    [8, 4, 16, 8]
    """
    if ndim not in (2, 3):
        raise ValueError(f"ndim is {ndim}: give 2 for images YX or 3 for volumes ZYX")
    order = tuple(range(ndim))
    orders = [order, (*order[:-2], order[-1], order[-2])] if square else [order]
    return tuple(
        Turn(axes, signs) for axes, signs in product(orders, product((1, -1), repeat=ndim))
    )


def restore_vectors(
    prediction: np.ndarray, turn: Turn, *, channels: Sequence[int] | None = None
) -> np.ndarray:
    """Return a prediction whose vectors point as in the image, not as in its turned copy.

    For channels such as offsets to an object's centre: turning the picture of a vector field
    back puts each vector in its place, but its components still have the order and the signs
    of the turned axes.

    Parameters
    ----------
    prediction : ndarray, NYXC or NZYXC
        Prediction on a turned batch after ``turn.invert``.
    turn : Turn
        What the batch had been turned by.
    channels : sequence of int, optional
        The channels with the components of the vector, in the order of the spatial axes; by
        default the first two or three.

    Returns
    -------
    ndarray, shape and dtype of `prediction`
        A copy; all other channels as they were.

    Raises
    ------
    ValueError
        If there is not one channel for each spatial axis.
    """
    ndim = len(turn.axes)
    channels = list(range(ndim) if channels is None else channels)
    if len(channels) != ndim or prediction.shape[-1] <= max(channels):
        raise ValueError(
            f"channels is {channels} for {ndim} axes and {prediction.shape[-1]} predicted "
            "channels: give the channel of one component for each axis, in the order of the axes"
        )
    restored = prediction.copy()
    for source, axis, sign in zip(channels, turn.axes, turn.signs, strict=True):
        restored[..., channels[axis]] = sign * prediction[..., source]
    return restored


def _whole_order(axes: Sequence[int]) -> tuple[int, ...]:
    return (0, *(int(axis) + 1 for axis in axes), len(axes) + 1)
