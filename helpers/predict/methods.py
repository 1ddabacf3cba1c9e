"""How each method gets from an image to its result: one entry in `METHODS` per method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from helpers.normalise import Normalizer
from helpers.predict.loading import (
    load_fpn,
    load_keras,
    load_maskrcnn,
    load_n2v,
    load_stardist,
    load_unet3class,
)

__all__ = ["METHODS", "Method", "input_axes", "keras_network"]


@dataclass(frozen=True)
class Method:
    """What prediction needs to know of a method.

    Parameters
    ----------
    title : str
        Its name for people.
    load : callable
        ``model = load(folder)``, from the folder of the weights.
    predict : callable
        ``result = predict(model, image, settings)``, with a raw image of any size.
    bytes_per_pixel : int
        Memory at the peak of a prediction, roughly.
    needs : tuple of str
        Settings that have no default.
    result : {"labels", "image"}
        Label image, or a denoised image.
    by_plane : bool
        A 2D network also takes stacks, plane by plane.
    has_tta : bool
        Whether the setting ``tta`` means something.
    """

    title: str
    load: Callable[[Path], object]
    predict: Callable[[object, np.ndarray, dict], np.ndarray]
    bytes_per_pixel: int
    needs: tuple[str, ...] = ()
    result: str = "labels"
    by_plane: bool = False
    has_tta: bool = True


def keras_network(model: object):
    """Return the Keras network inside of a model of any method."""
    if hasattr(model, "models"):
        return next(iter(model.models.values()))
    return getattr(model, "keras_model", model)


def input_axes(model: object) -> tuple[int, int]:
    """Return how many spatial axes and channels a model takes."""
    network = keras_network(model)
    if not hasattr(network, "inputs") or network.inputs is None:  # Mask R-CNN is no graph
        return 2, network.settings.n_channels
    shape = network.inputs[0].shape
    return len(shape) - 2, int(shape[-1])


def _scale(image: np.ndarray, settings: dict) -> np.ndarray:
    return Normalizer.from_dict(settings.get("normalizer") or {})(image)


def _predict_n2v(model, image, settings):
    from helpers.denoise.noise2void import denoise

    return denoise(model, image, tta=settings.get("tta", True))


def _predict_stardist(model, image, settings):
    x = _scale(image, settings)
    sides = model._axes_div_by("YX" if x.ndim == 2 else "ZYX")
    tiles = model._guess_n_tiles(np.broadcast_to(np.float32(0), _round_up(x.shape, sides)))
    changes = {k: settings[k] for k in ("prob_thresh", "nms_thresh") if k in settings}
    labels, _ = model.predict_instances(x, n_tiles=tiles, show_tile_progress=False, **changes)
    return labels.astype(np.int32)


def _round_up(shape, steps) -> tuple[int, ...]:
    return tuple(-(-side // step) * step for side, step in zip(shape, steps, strict=True))


def _predict_unet3class(model, image, settings):
    from helpers.instances import grow_seeds

    if model.denoiser is not None:
        from helpers.denoise.noise2void import denoise

        image = denoise(model.denoiser, image, tta=True)
    inside = _inside_of_objects(model.keras_model, _scale(image, settings), settings)
    names = ("seed_threshold", "mask_threshold", "min_distance", "min_area")
    return grow_seeds(inside, **{name: settings[name] for name in names if name in settings})


def _inside_of_objects(model, x, settings) -> np.ndarray:
    from helpers.tiles.predict import predict_tiled
    from helpers.unet3class import predict_classes

    depth, step = settings["depth"], 2 ** settings["depth"]
    if not settings.get("tta") and x.size <= 2_000_000:
        return predict_classes(model, x, depth=depth)[..., 1]
    from keras import ops

    largest = (512, 512) if x.ndim == 2 else (32, 128, 128)
    side = tuple(
        min(pair) for pair in zip(_round_up(x.shape, (step,) * x.ndim), largest, strict=True)
    )
    side = (*side[:-2], *(max(side[-2:]),) * 2)
    found = predict_tiled(
        lambda batch: ops.convert_to_numpy(ops.softmax(model.predict_on_batch(batch))),
        x[..., None],
        tile_shape=side,
        overlap=tuple(n // 4 for n in side),
        tta=settings.get("tta", False),
        step=step,
    )
    return found[..., 1]


def _predict_em(model, image, settings):
    from helpers.em.mask_volume import median_filter_z, split_touching
    from helpers.em.training import predict_foreground

    p = predict_foreground(model, _scale(image, settings), tta=settings.get("tta", True))
    if p.ndim == 3 and settings.get("median_z", 5) > 1:
        p = median_filter_z(p, size=settings.get("median_z", 5), axes="z")
    options = {
        "min_distance": settings.get("min_distance", np.inf),
        "min_size": settings.get("min_size", 0) if p.ndim == 3 else 0,  # voxels, not pixels
        "spacing": settings.get("pixel_size_um"),
    }
    if options["spacing"] is not None:
        options["spacing"] = options["spacing"][-p.ndim :]
    return split_touching(p >= settings["threshold"], **options)


def _predict_fpn(networks, image, settings):
    from helpers.fpn.field import segment_field

    options = {"normalize": networks.normalize, "tta": settings.get("tta", False)}
    tile = tuple(settings.get("tile_shape", (256, 256)))
    changes = settings.get("rule")
    rule = replace(networks.rule, **changes) if changes else networks.rule
    return segment_field(networks, image, rule=rule, tile_shape=tile, **options)


def _predict_afm(model, image, settings):
    from skimage.measure import label

    from helpers.afm import heightmaps
    from helpers.tiles.predict import predict_tiled

    height = heightmaps.remove_spikes(heightmaps.flatten_map(image).height)
    x = heightmaps.scale_heights(height, settings["scale"])[..., None]
    side = tuple(min(512, -(-n // 32) * 32) for n in height.shape)
    options = {"tile_shape": side, "overlap": min(64, min(side) // 2)}
    if side[0] != side[1] and settings.get("tta", True):
        options["tile_shape"] = (max(side),) * 2  # turns need square windows
    p = predict_tiled(model, x, tta=settings.get("tta", True), **options)[..., 0]
    return label(p > settings["threshold"], connectivity=2).astype(np.int32)


def _predict_embedseg(model, image, settings):
    from helpers.embedseg import EmbeddingSpace, predict_embedseg

    space = EmbeddingSpace.from_dict(settings["space"])
    options = {"thresholds": settings.get("thresholds"), "tta": settings.get("tta", True)}
    return predict_embedseg(model, _scale(image, settings), space, **options)


def _predict_maskrcnn(model, image, settings):
    from helpers.maskrcnn import DetectionRule, segment_image

    x = np.clip(_scale(image, settings), 0, 1)
    options = {"tile": settings.get("tile", 256), "overlap": settings.get("overlap", 64)}
    return segment_image(model, x, rule=DetectionRule(**settings["rule"]), **options)


METHODS = {
    "n2v": Method("Noise2Void", load_n2v, _predict_n2v, 120, result="image"),
    "unet3class": Method(
        "3-class U-Net",
        load_unet3class,
        _predict_unet3class,
        160,
        needs=("depth", "seed_threshold", "mask_threshold"),
    ),
    "stardist": Method("StarDist", load_stardist, _predict_stardist, 160, has_tta=False),
    "em_unet": Method(
        "U-Net for EM", load_keras, _predict_em, 80, needs=("threshold",), by_plane=True
    ),
    "fpn_watershed": Method("FPN2-WS", load_fpn, _predict_fpn, 80),
    "afm_unet": Method(
        "U-Net for AFM", load_keras, _predict_afm, 200, needs=("scale", "threshold")
    ),
    "embedseg": Method(
        "EmbedSeg", load_keras, _predict_embedseg, 250, needs=("space", "thresholds")
    ),
    "mask_rcnn": Method(
        "Mask R-CNN", load_maskrcnn, _predict_maskrcnn, 100, needs=("rule",), has_tta=False
    ),
}
"""Every method that can predict, by the name in ``predictor.json``."""
