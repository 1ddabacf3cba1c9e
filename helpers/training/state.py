"""The files of a training: its state after the last whole epoch, best weights and history."""

import csv
import json
import math
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np

from helpers.storage import write_whole

__all__ = ["TrainingFiles", "best_row"]

_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class TrainingFiles:
    """All that a training keeps on disk.

    Parameters
    ----------
    folder
        The run folder. ``history.csv`` lies in it; ``state.npz``, the generation before it
        (``state.previous.npz``) and ``best.weights.h5`` lie in its folder ``model``.

    Notes
    -----
    ``state.npz`` holds the history and, in the model's own order, all variables: weights,
    optimizer and the random states of layers such as dropout. It is plain numbers and JSON,
    so loading it runs no code. Every file is written whole or not at all.
    """

    def __init__(self, folder: str | Path):
        self.history = Path(folder) / "history.csv"
        self.state = Path(folder) / "model" / "state.npz"
        self.previous = self.state.with_name("state.previous.npz")
        self.best = self.state.with_name("best.weights.h5")

    def clear(self) -> None:
        """Remove the files, so that the training starts anew."""
        for path in (self.history, self.state, self.previous, self.best):
            path.unlink(missing_ok=True)

    def save_state(self, facts: dict, variables: list) -> None:
        """Write `facts` (with the list ``rows``) and the Keras `variables`, then the history."""
        from keras.ops import convert_to_numpy

        arrays = {f"v{i:05}": convert_to_numpy(v) for i, v in enumerate(variables)}
        with write_whole(self.state) as part:
            np.savez(part, facts=np.array(json.dumps(facts)), **arrays)
            if self.state.exists():
                os.replace(self.state, self.previous)
        self.save_history(facts["rows"])

    def load_state(self) -> tuple[dict | None, list[np.ndarray]]:
        """Read the newest readable state; the facts are None where there is none."""
        for path in (self.state, self.previous):
            if not path.exists():
                continue
            try:
                with np.load(path, allow_pickle=False) as file:
                    arrays = [file[name] for name in sorted(file.files) if name != "facts"]
                    return json.loads(str(file["facts"])), arrays
            except _UNREADABLE as error:
                print(f"{path.name} cannot be read ({error}): it is left out.")
        return None, []

    def save_history(self, rows: list[dict]) -> None:
        """Write ``history.csv`` anew, one line per epoch."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        with write_whole(self.history) as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)

    def save_best(self, model) -> None:
        """Write the weights of `model` to ``best.weights.h5``."""
        with write_whole(self.best) as part:
            # csbdeep gives its models a save_weights of their own, for its own file names
            type(model).save_weights(model, part)

    def load_best(self, model) -> None:
        """Load ``best.weights.h5`` into `model`."""
        with warnings.catch_warnings():
            # the file has the optimizer's variables too; a fresh optimizer cannot take them
            warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
            model.load_weights(self.best)


def best_row(rows: list[dict], monitor: str, mode: str) -> dict | None:
    """Return the first row with the best finite value of `monitor`, or None.

    Examples
    --------
    >>> best_row([{"iou": 0.5}, {"iou": 0.7}, {"iou": 0.7, "late": 1}], "iou", "max")
    {'iou': 0.7}
    """
    finite = [row for row in rows if math.isfinite(row[monitor])]
    choose = max if mode == "max" else min
    return choose(finite, key=lambda row: row[monitor]) if finite else None
