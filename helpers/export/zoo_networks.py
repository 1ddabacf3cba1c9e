"""Networks as the BioImage Model Zoo describes them: tensors, scaling and what follows the network.

One function per kind of network gives a `Packed`; `helpers.export.zoo` makes the package of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.export.zoo_scaling import describe_scaling, linear_step
from helpers.predict.methods import keras_network
from helpers.predict.predictors import Predictor

__all__ = ["Packed", "pack_network"]

SPACE = "zyx"


@dataclass(frozen=True)
class Packed:
    """A network with its description.

    Parameters
    ----------
    network : keras.Model
        With images NYXC or NZYXC as its only input.
    inputs, outputs : list
        Tensor descriptions of the format, with test tensors.
    """

    network: object
    inputs: list
    outputs: list


def pack_network(predictor: Predictor, zoo, folder: Path) -> Packed:
    """Describe the network of a predictor, and write its test tensors.

    Parameters
    ----------
    predictor : Predictor
        A saved model.
    zoo : module
        ``bioimageio.spec.model.v0_5``.
    folder : path
        Gets the test tensors.

    Notes
    -----
    StarDist's outputs are one tensor there, probability first, which the format's own
    ``stardist_postprocessing`` turns into labels; the expected ones are those of the stardist
    package. Of Mask R-CNN the format takes a window of fixed size and its detections.
    """
    special = {"stardist": _pack_stardist, "mask_rcnn": _pack_maskrcnn}
    return special.get(predictor.name, _pack_plain)(predictor, zoo, folder)


def _pack_plain(predictor: Predictor, zoo, folder: Path) -> Packed:
    from helpers.saving import example_input

    network = keras_network(predictor.model)
    raw = example_input(network, side=64 if predictor.ndim == 2 else 16)
    x, before, after = describe_scaling(predictor, raw)
    y = np.asarray(network.predict(x, verbose=0)).astype(np.float32)
    gain, offset = after or (1.0, 0.0)
    names = SPACE[3 - predictor.ndim :]
    output = zoo.OutputTensorDescr(
        id=zoo.TensorId("output"),
        axes=[zoo.BatchAxis(), *_output_axes(zoo, names), _channels(zoo, y.shape[-1])],
        test_tensor=_save(zoo, folder, "output", y * np.float32(gain) + np.float32(offset)),
        postprocessing=linear_step(zoo, gain, offset) if after else [],
    )
    axes = _input_axes(zoo, names, network)
    return Packed(network, [_describe_input(zoo, folder, raw, axes, before(zoo, names))], [output])


def _pack_stardist(predictor: Predictor, zoo, folder: Path) -> Packed:
    import keras

    model, names = predictor.model, SPACE[3 - predictor.ndim :]
    inside = model.keras_model
    probability, distances = inside.outputs
    distances = keras.ops.maximum(distances, 1e-3)  # as stardist does before it draws
    joined = keras.layers.Concatenate(name="both")([probability, distances])
    network = keras.Model(inside.inputs, joined)
    step = max(model._axes_div_by(names.upper()))
    shape = [-(-side // step) * step for side in (16, 64, 64)[3 - len(names) :]]
    raw, labels, before = _find_stars(predictor, shape)
    output = zoo.OutputTensorDescr(
        id=zoo.TensorId("labels"),
        axes=[zoo.BatchAxis(), *_output_axes(zoo, names), _channels(zoo, 1)],
        test_tensor=_save(zoo, folder, "output", labels),
        data=zoo.IntervalOrRatioDataDescr(type="int32"),
        postprocessing=[zoo.StardistPostprocessingDescr(kwargs=_stars_to_labels(zoo, model))],
    )
    steps = [int(s) for s in model._axes_div_by(names.upper())]
    axes = _input_axes(zoo, names, inside, steps)
    return Packed(network, [_describe_input(zoo, folder, raw, axes, before(zoo, names))], [output])


def _find_stars(predictor: Predictor, shape):
    """Return a test image in which the network finds objects, these, and the scaling."""
    for size in (10, 6, 16, 4, 25):
        raw = _make_blobs(shape, size)
        x, before, _ = describe_scaling(predictor, raw)
        # not sparse: the format's step sorts objects of equal probability like that
        options = {"sparse": False, "show_tile_progress": False}
        labels = predictor.model.predict_instances(x[0, ..., 0], **options)[0]
        if labels.any():
            return raw, labels[None, ..., None].astype(np.int32), before
    raise ValueError(
        "this StarDist finds nothing in round objects of any size, and the zoo takes no test "
        "output without objects: train it longer"
    )


def _stars_to_labels(zoo, model):
    config, thresholds = model.config, model.thresholds
    facts = {
        "prob_threshold": float(thresholds.prob),
        "nms_threshold": float(thresholds.nms),
        "n_rays": int(config.n_rays),
        "grid": tuple(map(int, config.grid)),
        "b": 2,  # as stardist itself, so that the labels agree
    }
    if config.n_dim == 2:
        return zoo.StardistPostprocessingKwargs2D(**facts)
    rays = config.rays_json
    if rays["name"] != "Rays_GoldenSpiral":
        raise ValueError(
            f"its rays are {rays['name']}, but the zoo's format knows Rays_GoldenSpiral alone: "
            "train StarDist3D with those"
        )
    anisotropy = tuple(map(float, rays["kwargs"].get("anisotropy") or (1, 1, 1)))
    return zoo.StardistPostprocessingKwargs3D(**facts, anisotropy=anisotropy)


def _pack_maskrcnn(predictor: Predictor, zoo, folder: Path) -> Packed:
    import keras

    model, side = predictor.model, int(predictor.settings.get("tile", 256))
    images = keras.Input((side, side, predictor.n_channels))
    names = ("boxes", "scores", "classes", "masks")
    found = model(images)
    network = keras.Model(images, [found[name] for name in names])
    raw = np.repeat(_make_blobs((side, side)), predictor.n_channels, axis=-1)
    x, before, _ = describe_scaling(predictor, raw)
    arrays = [np.asarray(array) for array in network.predict(x, verbose=0)]
    axes = [zoo.SpaceInputAxis(id=zoo.AxisId(name), size=side, concatenable=False) for name in "yx"]
    outputs = [
        zoo.OutputTensorDescr(
            id=zoo.TensorId(name),
            description=DETECTIONS[name],
            axes=_detection_axes(zoo, name, array.shape),
            test_tensor=_save(zoo, folder, name, array),
            data=zoo.IntervalOrRatioDataDescr(type=str(array.dtype)),
        )
        for name, array in zip(names, arrays, strict=True)
    ]
    return Packed(network, [_describe_input(zoo, folder, raw, axes, before(zoo, "yx"))], outputs)


DETECTIONS = {
    "boxes": "first and last y, x of each object in pixels: y0, x0, y1, x1",
    "scores": "probability of each object; 0 where a row holds none",
    "classes": "number of the class of each object",
    "masks": "probability of the object at the points of a grid over its box",
}


def _detection_axes(zoo, name: str, shape: tuple[int, ...]) -> list:
    axes = [zoo.BatchAxis(), zoo.IndexOutputAxis(size=shape[1])]
    if name == "boxes":
        return [*axes, _channels(zoo, shape[2])]
    sides = zip("yx", shape[2:], strict=False)
    return axes + [zoo.SpaceOutputAxis(id=zoo.AxisId(axis), size=n) for axis, n in sides]


def _make_blobs(shape, size: float = 10) -> np.ndarray:
    """Return a batch of one image with soft round objects, a `size`-th of it, on a dim ground."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    image = rng.normal(100, 5, shape)
    for center in rng.uniform(0.15, 0.85, (6, len(shape))) * shape:
        image += 400 * np.exp(-((grid - center) ** 2).sum(-1) / (2 * (min(shape) / size) ** 2))
    return image[None, ..., None].astype(np.float32)


def _describe_input(zoo, folder: Path, raw: np.ndarray, axes: list, steps: list):
    return zoo.InputTensorDescr(
        id=zoo.TensorId("image"),
        axes=[zoo.BatchAxis(), *axes, _channels(zoo, raw.shape[-1])],
        test_tensor=_save(zoo, folder, "input", raw),
        preprocessing=steps,
    )


def _save(zoo, folder: Path, name: str, array: np.ndarray):
    np.save(folder / f"test_{name}.npy", array)
    return zoo.FileDescr(source=folder / f"test_{name}.npy")


def _input_axes(zoo, names: str, network, steps=None) -> list:
    from helpers.unets import input_divisor

    steps = steps or input_divisor(network)
    return [
        zoo.SpaceInputAxis(
            id=zoo.AxisId(name), size=zoo.ParameterizedSize(min=max(step, 16), step=step)
        )
        for name, step in zip(names, steps, strict=True)
    ]


def _output_axes(zoo, names: str) -> list:
    return [
        zoo.SpaceOutputAxis(
            id=zoo.AxisId(name),
            size=zoo.SizeReference(tensor_id=zoo.TensorId("image"), axis_id=zoo.AxisId(name)),
        )
        for name in names
    ]


def _channels(zoo, n: int):
    return zoo.ChannelAxis(channel_names=[zoo.Identifier(f"channel{i}") for i in range(n)])
