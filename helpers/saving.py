"""Save a trained Keras model so that a later reload provably gives the same output."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.storage import write_whole

if TYPE_CHECKING:
    import keras

__all__ = ["load_model", "save_model"]


def save_model(model: "keras.Model", folder: str | Path, example: np.ndarray) -> Path:
    """Save a model with a small example of its input and output, and test the reload.

    Parameters
    ----------
    model
        A model of Keras layers, or of own layers registered by
        :func:`keras.saving.register_keras_serializable`.
    folder
        Gets ``model.json`` (architecture), ``model.weights.h5`` and ``example.npz``. An
        earlier model there is replaced.
    example
        A batch as the model takes it, best a small one.

    Returns
    -------
    pathlib.Path
        `folder`.

    Raises
    ------
    ValueError
        If the model has ``Lambda`` layers, whose code would have to be loaded from the file,
        or if the reloaded model gives another output.
    """
    from keras.layers import Lambda

    if lambdas := [layer.name for layer in model._flatten_layers() if isinstance(layer, Lambda)]:
        raise ValueError(
            f"model has Lambda layers ({', '.join(lambdas)}), which cannot be reloaded safely: "
            "write each as a registered keras.layers.Layer."
        )
    folder = Path(folder)
    with write_whole(folder / "model.weights.h5") as part:
        type(model).save_weights(model, part)
    with write_whole(folder / "example.npz") as part:
        outputs = {f"output{i}": a for i, a in enumerate(_predict(model, example))}
        np.savez(part, input=example, **outputs)
    with write_whole(folder / "model.json") as part:
        part.write_text(json.dumps(_architecture(model), indent=1), encoding="utf-8")
    load_model(folder)
    return folder


def load_model(folder: str | Path) -> "keras.Model":
    """Load a saved model, and check that it still gives the stored output.

    Parameters
    ----------
    folder
        Where :func:`save_model` put it.

    Returns
    -------
    keras.Model
        Ready to predict; compile it before training it further.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If the output differs from the stored one by more than 1e-5, absolute or relative.
    """
    from keras.saving import deserialize_keras_object

    folder = Path(folder)
    for name in ("model.json", "model.weights.h5", "example.npz"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: save the model again.")
    config = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    model = deserialize_keras_object(config, safe_mode=True)
    model.load_weights(folder / "model.weights.h5")
    with np.load(folder / "example.npz", allow_pickle=False) as stored:
        expected = [stored[f"output{i}"] for i in range(len(stored.files) - 1)]
        found = _predict(model, stored["input"])
    _compare(expected, found, folder)
    return model


def _architecture(model: "keras.Model") -> dict:
    from keras.saving import serialize_keras_object

    config = serialize_keras_object(model)
    # loss and optimizer are not needed to predict, and may be functions of a notebook
    config.pop("compile_config", None)
    return config


def _predict(model: "keras.Model", batch: np.ndarray) -> list[np.ndarray]:
    from keras import tree

    return [np.asarray(array) for array in tree.flatten(model.predict(batch, verbose=0))]


def _compare(expected: list, found: list, folder: Path) -> None:
    for old, new in zip(expected, found, strict=True):
        if old.shape != new.shape or not np.allclose(old, new, rtol=1e-5, atol=1e-5):
            raise ValueError(
                f"{folder}: the reloaded model gives another output than when it was saved "
                f"(shape {new.shape}, stored {old.shape}). The weights, or the code of its "
                "layers, have changed: take the saved version, or save the model again."
            )
