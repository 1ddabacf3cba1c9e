"""FPN2-WS: feature pyramid networks that predict a distance map and a border map.

The networks come from the package segmentation-models; their maps go to
:func:`helpers.fpn.watershed.seeded_watershed`. Source: Zaki et al. 2020.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.fpn.watershed_rule import WatershedRule
from helpers.normalise import Normalizer
from helpers.storage import read_json, write_json

if TYPE_CHECKING:
    import keras

__all__ = [
    "BACKBONES",
    "FpnNetworks",
    "LIGHT_BACKBONES",
    "build_fpn",
    "build_networks",
]

LIGHT_BACKBONES = ("mobilenet", "mobilenetv2", "efficientnetb0", "resnet18", "seresnet18")
"""Encoders that train on two cores."""

BACKBONES = LIGHT_BACKBONES + tuple(
    """
    resnet34 resnet50 resnet101 resnet152 seresnet34 seresnet50 seresnet101 seresnet152
    resnext50 resnext101 seresnext50 seresnext101 senet154 densenet121 densenet169 densenet201
    vgg16 vgg19 inceptionv3 inceptionresnetv2 efficientnetb1 efficientnetb2 efficientnetb3
    efficientnetb4 efficientnetb5 efficientnetb6 efficientnetb7
    """.split()
)
"""All encoders of segmentation-models 1.0.1; each can be built, trained and saved on Keras 3."""

MAPS = ("distance", "border")


def build_fpn(
    backbone: str = "mobilenetv2",
    *,
    maps: int = 1,
    channels: int = 1,
    encoder_weights: str | None = None,
    filters: int = 256,
    input_range: str = "encoder",
    memory: float = 0.9,
) -> keras.Model:
    """Make a feature pyramid network for images of any size.

    Parameters
    ----------
    backbone : str
        One of :data:`BACKBONES`; the paper's is ``"inceptionresnetv2"``.
    maps : int
        Number of maps: 1 for a single-output network, more for one network with several heads.
    channels : int
        Channels of the images.
    encoder_weights : {None, "imagenet"}
        Random, or trained on ImageNet (downloaded once).
    filters : int
        Of the pyramid; the decoder uses half as many. The paper's is 256.
    input_range : {"encoder", "unit"}
        With ImageNet weights: scale 0 to 1 to the range the encoder was trained on, or leave
        it, as in the paper. Random weights always see 0 to 1.
    memory : float
        Share of the old statistics that batch normalisation keeps in each step. The usual 0.99
        remembers more steps than a short training has.

    Returns
    -------
    keras.Model
        NYXC, values 0 to 1, to NYX(maps), values 0 to 1. Sides must be multiples of 32.

    Raises
    ------
    ValueError
        If an option is unknown.
    ConnectionError
        If the weights of the encoder cannot be downloaded.

    Notes
    -----
    A convolution of size one, ``to_encoder``, turns the channels into the encoder's three. It
    starts as an exact copy (one channel goes to all three, the encoder's own scaling
    included), so that the encoder works as it was trained, and may learn better ones.
    """
    _check_choice("backbone", backbone, BACKBONES)
    _check_choice("encoder_weights", encoder_weights, (None, "imagenet"))
    _check_choice("input_range", input_range, ("encoder", "unit"))
    if maps < 1 or channels < 1:
        raise ValueError(f"maps is {maps} and channels {channels}: give 1 or more of each")
    from keras import Input, Model

    from helpers.fpn.layers import mend_layers
    from helpers.training.loop import shorten_batch_norm_memory

    fpn = mend_layers(_build_package_fpn(backbone, maps, encoder_weights, filters))
    shorten_batch_norm_memory(fpn, memory)
    fpn.name = "fpn"
    scale, offset = np.ones(3), np.zeros(3)
    if encoder_weights and input_range == "encoder":
        scale, offset = _encoder_range(backbone)
    inputs = Input((None, None, channels), name="image")
    return Model(inputs, fpn(_copy_layer(channels, scale, offset)(inputs)))


def build_networks(
    backbone: str = "mobilenetv2",
    *,
    two_networks: bool = True,
    foreground: bool = False,
    **options,
) -> dict[str, keras.Model]:
    """Make the two networks of FPN2-WS, or one for all maps.

    Parameters
    ----------
    backbone : str
        As in :func:`build_fpn`.
    two_networks : bool
        True: one network for each map, as in the paper. False: one for both, in half the time.
    foreground : bool
        A third map tells nuclei from background; with two networks, the one of the border
        learns it. Without it, as in the paper, the distance has to tell.
    **options
        Those of :func:`build_fpn`, without ``maps``.

    Returns
    -------
    dict of str to keras.Model
        Networks by the maps they predict, such as ``{"distance": ..., "border": ...}`` or
        ``{"distance_border_foreground": ...}``.
    """
    maps = [*MAPS, "foreground"] if foreground else list(MAPS)
    shares = [maps[:1], maps[1:]] if two_networks else [maps]
    return {"_".join(share): build_fpn(backbone, maps=len(share), **options) for share in shares}


@dataclass(frozen=True)
class FpnNetworks:
    """The trained networks with the normalisation they were trained with.

    ``networks.normalize`` and ``networks`` itself are what
    :func:`helpers.fpn.field.segment_field` takes as ``normalize`` and ``predict``.

    Parameters
    ----------
    models : dict of str to keras.Model
        Of :func:`build_networks`.
    normalizer : Normalizer
        Grey values to 0 to 1; what lies beyond is cut off.
    rule : WatershedRule, optional
        Thresholds tuned for these networks, to be kept with them.
    tta : bool
        Whether :func:`helpers.fpn.field.predict_field` takes the mean over eight flips and turns
        if it is not told otherwise: thresholds hold for maps made as those they were tuned on.
    """

    models: dict[str, keras.Model]
    normalizer: Normalizer = field(default_factory=Normalizer)
    rule: WatershedRule | None = None
    tta: bool = False

    def normalize(self, image: np.ndarray) -> np.ndarray:
        """Return the image as float32 between 0 and 1, for training as for prediction."""
        return np.clip(self.normalizer(image), 0, 1)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the maps of normalised images: NYXC to NYX2 or NYX3, in the order of training.

        Sides that are no multiples of 32 are continued by reflection for the network.
        """
        batch = np.asarray(batch, np.float32)
        if batch.ndim != 4:
            raise ValueError(f"batch has shape {batch.shape}: give images with axes NYXC")
        rows, columns = batch.shape[1:3]
        margins = [(0, 0), (0, -rows % 32), (0, -columns % 32), (0, 0)]
        padded = np.pad(batch, margins, mode="symmetric")
        maps = [np.asarray(model.predict_on_batch(padded)) for model in self.models.values()]
        return np.concatenate(maps, axis=-1)[:, :rows, :columns]

    def save(self, folder: str | Path) -> Path:
        """Save networks, normalisation and thresholds into `folder`, and test the reload."""
        from helpers.saving import save_model

        folder = Path(folder)
        for name, model in self.models.items():
            example = np.random.default_rng(0).random((1, 32, 32, model.input_shape[-1]))
            save_model(model, folder / name, example.astype(np.float32))
        facts = {"networks": list(self.models), "normalizer": self.normalizer.to_dict()}
        facts |= {"rule": asdict(self.rule) if self.rule else None, "tta": self.tta}
        write_json(folder / "fpn.json", facts)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> FpnNetworks:
        """Load what :meth:`save` wrote."""
        import helpers.fpn.layers  # noqa: F401  registers the layers
        from helpers.saving import load_model

        facts = read_json(Path(folder) / "fpn.json")
        models = {name: load_model(Path(folder) / name) for name in facts["networks"]}
        rule = WatershedRule(**facts["rule"]) if facts.get("rule") else None
        normalizer = Normalizer.from_dict(facts["normalizer"])
        return cls(models, normalizer, rule, tta=facts.get("tta", False))


def _import_package():
    import contextlib
    import io

    os.environ.setdefault("SM_FRAMEWORK", "tf.keras")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a line on import
        import segmentation_models
    return segmentation_models


def _build_package_fpn(
    backbone: str, maps: int, encoder_weights: str | None, filters: int
) -> keras.Model:
    build = _import_package().FPN
    try:
        return build(
            backbone,
            classes=maps,
            activation="sigmoid",
            encoder_weights=encoder_weights,
            pyramid_block_filters=filters,
        )
    except Exception as error:  # Keras raises plain Exception when a download fails
        if not (isinstance(error, OSError) or "URL fetch failure" in str(error)):
            raise
        raise ConnectionError(
            f"the {encoder_weights} weights of {backbone} cannot be downloaded ({error}): connect "
            "to the internet once, copy the file from another computer's folder .keras/models, "
            "or give encoder_weights=None to start from random weights"
        ) from error


def _encoder_range(backbone: str) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and offset from 0 to 1 to the values an encoder was trained on."""
    prepare = _import_package().get_preprocessing(backbone)
    black, white = (
        np.ravel(prepare(np.full((1, 1, 1, 3), value, np.float32))) for value in (0, 255)
    )
    return white - black, black


def _copy_layer(channels: int, scale: np.ndarray, offset: np.ndarray):
    from keras.initializers import Constant
    from keras.layers import Conv2D

    share = np.array([[c % 3 == k for k in range(3)] for c in range(channels)], float)
    share[:, share.sum(axis=0) == 0] = 1  # colours without a channel get the mean of all
    kernel = share / share.sum(axis=0) * scale
    return Conv2D(
        3,
        1,
        kernel_initializer=Constant(kernel[None, None].tolist()),
        bias_initializer=Constant(offset.tolist()),
        name="to_encoder",
    )


def _check_choice(name: str, value: object, choices: Sequence) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}: give one of {', '.join(map(repr, choices))}")
