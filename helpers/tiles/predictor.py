"""Reading windows of an image and predicting them in batches, turned if wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.tiles.orientations import Turn, turns
from helpers.tiles.windows import Windows, plan_windows

__all__ = ["WindowPredictor"]


@dataclass
class WindowPredictor:
    """What is predicted, from which image, and how."""

    predict: Callable
    image: object
    windows: Windows
    batch_size: int
    turns: Sequence[Turn]
    restore: Callable | None

    @classmethod
    def plan(
        cls,
        predict: Callable,
        image,
        tile_shape: Sequence[int],
        overlap: int | Sequence[int],
        *,
        batch_size: int = 1,
        tta: bool | Sequence[Turn] | None = None,
        restore: Callable | None = None,
        margin: int | Sequence[int] | None = None,
        step: int = 1,
    ) -> WindowPredictor:
        """Return a predictor of an image; the options as in `tiles.predict_block`."""
        ndim = len(tile_shape)
        if len(image.shape) not in (ndim, ndim + 1):
            raise ValueError(
                f"image has shape {tuple(image.shape)} for tile_shape {tuple(tile_shape)}: give "
                "an image with the same spatial axes, and at most one more for channels, last"
            )
        windows = plan_windows(image.shape[:ndim], tile_shape, overlap, margin=margin, step=step)
        chosen = _choose_turns(tta, windows.tile_shape)
        return cls(predict, image, windows, max(1, int(batch_size)), chosen, restore)

    def iter_predictions(self, numbers: list) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        """Yield each window's numbers and its prediction, in the order given."""
        size = min(self.batch_size, len(numbers))
        for first in range(0, len(numbers), size):
            group = numbers[first : first + size]
            batch = np.zeros((size, *self.windows.tile_shape, self.n_channels), np.float32)
            for row, window in zip(batch, group, strict=False):
                row[...] = self.read(window)
            yield from zip(group, self.predict_turned(batch), strict=False)

    @property
    def n_channels(self) -> int:
        """Return the channels of the image, 1 if it has no axis for them."""
        return self.image.shape[-1] if len(self.image.shape) > len(self.windows.shape) else 1

    def read(self, window: tuple[int, ...]) -> np.ndarray:
        """Return one window of the image with channels, reflected where the image ends."""
        begin = [int(starts[i]) for starts, i in zip(self.windows.starts, window, strict=True)]
        sides = list(zip(begin, self.windows.tile_shape, self.windows.shape, strict=True))
        inside = tuple(slice(max(0, a), min(a + tile, length)) for a, tile, length in sides)
        values = np.asarray(self.image[inside])
        values = values if values.ndim > len(sides) else values[..., None]
        missing = [(max(0, -a), max(0, a + tile - length)) for a, tile, length in sides]
        return np.pad(values, [*missing, (0, 0)], mode="reflect") if np.any(missing) else values

    def predict_turned(self, batch: np.ndarray) -> np.ndarray:
        """Return the mean over all turns of the prediction of a batch."""
        total = None
        for turn in self.turns:
            prediction = turn.invert(self.predict_once(np.ascontiguousarray(turn.apply(batch))))
            prediction = self.restore(prediction, turn) if self.restore else prediction
            total = prediction if total is None else total + prediction
        return total if len(self.turns) == 1 else total / np.float32(len(self.turns))

    def predict_once(self, batch: np.ndarray) -> np.ndarray:
        """Return the prediction of one batch as float32, if it has the shape expected."""
        # Keras compiles predict_on_batch; calling the model would run it layer by layer
        prediction = getattr(self.predict, "predict_on_batch", self.predict)(batch)
        shape = getattr(prediction, "shape", None)
        if shape is None or len(shape) != batch.ndim or tuple(shape[:-1]) != batch.shape[:-1]:
            found = type(prediction).__name__ if shape is None else f"shape {tuple(shape)}"
            raise ValueError(
                f"predict gives {found} for a batch of shape {batch.shape}: give a callable that "
                "returns one array with the same batch and spatial axes, and channels last"
            )
        return np.asarray(prediction, np.float32)


def _choose_turns(tta, tile_shape: tuple[int, ...]) -> tuple[Turn, ...]:
    ndim = len(tile_shape)
    chosen = turns(ndim) if tta is True else tuple(tta or turns(ndim)[:1])
    if any(len(turn.axes) != ndim for turn in chosen):
        raise ValueError(f"tta holds transforms of other axes: give turns({ndim}, ...)")
    if any(tuple(tile_shape[axis] for axis in turn.axes) != tile_shape for turn in chosen):
        raise ValueError(
            f"tile_shape is {tile_shape}, but transforms of tta swap Y and X: give windows of "
            f"equal sides in Y and X, or tta=turns({ndim}, square=False)"
        )
    return chosen
