"""Encoders of ``keras.applications``, pre-trained on ImageNet, as part of a network.

The encoder is one layer of the model, named "encoder", so that it can be frozen and let go.
The networks that have one are in :mod:`helpers.unets.encoder_networks`.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import keras
from keras import layers, ops

from helpers.unets.blocks import Tensor
from helpers.unets.layers import register

__all__ = [
    "BACKBONES",
    "Backbone",
    "BackbonePreprocessing",
    "encoder_features",
    "freeze_encoder",
    "unfreeze_encoder",
]

# ImageNet means, blue, green, red, of 8-bit images
MEANS = (103.939, 116.779, 123.68)


class Backbone(NamedTuple):
    """An encoder of ``keras.applications``: its name there, preprocessing, and skips."""

    application: str
    preprocessing: str
    skips: tuple[str, ...]


BACKBONES = {
    "vgg16": Backbone(
        "VGG16",
        "caffe",
        ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"),
    ),
    "vgg19": Backbone(
        "VGG19",
        "caffe",
        ("block1_conv2", "block2_conv2", "block3_conv4", "block4_conv4", "block5_conv4"),
    ),
    "xception": Backbone(
        "Xception",
        "tf",
        (
            "block2_sepconv2_bn",
            "block3_sepconv2_bn",
            "block4_sepconv2_bn",
            "block13_sepconv2_bn",
        ),
    ),
    "resnet50": Backbone(
        "ResNet50",
        "caffe",
        (
            "conv1_relu",
            "conv2_block3_out",
            "conv3_block4_out",
            "conv4_block6_out",
            "conv5_block3_out",
        ),
    ),
}


@register
class BackbonePreprocessing(layers.Layer):
    """Turn images into what an ImageNet encoder was trained on.

    Parameters
    ----------
    mode : {"caffe", "tf", "unit"}
        With v = 255 x / `white`: ``"caffe"`` swaps red and blue and subtracts the mean of
        ImageNet from v; ``"tf"`` gives v / 127.5 - 1; ``"unit"`` v / 255, whatever the
        encoder was trained on.
    white : float
        The value that counts as white: 1 for normalised images, 255 for 8-bit ones.

    Raises
    ------
    ValueError
        If `mode` is unknown, or if the images have neither one channel nor three.
    """

    def __init__(self, mode: str, *, white: float = 1.0, **options):
        super().__init__(**options)
        if mode not in ("caffe", "tf", "unit"):
            raise ValueError(f"mode is {mode!r}: choose 'caffe', 'tf' or 'unit'.")
        self.mode, self.white = mode, white

    def build(self, shape):
        """Check the channels."""
        if shape[-1] not in (1, 3):
            raise ValueError(
                f"channels is {shape[-1]}: encoders of keras.applications take one channel, "
                "which is tripled, or three."
            )

    def call(self, x):
        """Return three channels in the range of the encoder."""
        if x.shape[-1] == 1:
            x = ops.concatenate([x, x, x], axis=-1)
        if self.mode == "unit":
            return x / self.white
        if self.mode == "tf":
            return x * (2 / self.white) - 1
        return x[..., ::-1] * (255 / self.white) - ops.convert_to_tensor(MEANS, x.dtype)

    def compute_output_shape(self, shape):
        """Give three channels."""
        return (*shape[:-1], 3)

    def get_config(self):
        """Return what makes an equal layer."""
        return {**super().get_config(), "mode": self.mode, "white": self.white}


def encoder_features(
    x: Tensor,
    backbone: str,
    *,
    weights: str | None = None,
    preprocessing: str = "backbone",
    white: float = 1.0,
) -> list[Tensor]:
    """Return the features of an encoder, from fine to coarse.

    Parameters
    ----------
    x : tensor, N, Y, X, C
        Images, one channel or three.
    backbone : str
        A key of :data:`BACKBONES`.
    weights : {"imagenet", None} or path
        ``"imagenet"`` downloads them once; if that fails, a warning says so and the encoder
        starts from random weights. A path names a file of weights.
    preprocessing : {"backbone", "unit"}
        What the encoder was trained with, or plain division by the value of white, which is
        what Tiryaki et al. 2022 did for all encoders.
    white : float
        See :class:`BackbonePreprocessing`.
    """
    if backbone not in BACKBONES or preprocessing not in ("backbone", "unit"):
        raise ValueError(
            f"backbone is {backbone!r} and preprocessing {preprocessing!r}: choose one of "
            f"{', '.join(BACKBONES)}, and 'backbone' or 'unit'."
        )
    entry = BACKBONES[backbone]
    mode = entry.preprocessing if preprocessing == "backbone" else "unit"
    whole = _load_application(entry.application, weights)
    skips = [whole.get_layer(name).output for name in entry.skips]
    encoder = keras.Model(whole.inputs, skips, name="encoder")
    return encoder(BackbonePreprocessing(mode, white=white, name="preprocessing")(x))


def _load_application(name: str, weights: str | None) -> keras.Model:
    make = getattr(keras.applications, name)
    options = {"include_top": False, "input_shape": (None, None, 3)}
    if weights != "imagenet":
        return make(weights=weights, **options)
    try:
        return make(weights="imagenet", **options)
    except Exception as error:  # the kinds of network failures differ between Keras backends
        warnings.warn(
            f"The ImageNet weights of {name} could not be downloaded ({error}). The encoder "
            "starts from random weights: for better results go online once and build the model "
            "again, or give weights=PATH of a downloaded file.",
            stacklevel=2,
        )
        return make(weights=None, **options)


def freeze_encoder(model: keras.Model) -> keras.Model:
    """Keep the encoder as it is while the decoder learns; compile the model afterwards.

    Batch normalisation in the encoder then uses its stored statistics.

    Parameters
    ----------
    model : keras.Model
        With a layer named "encoder".

    Returns
    -------
    keras.Model
        `model` itself.

    Raises
    ------
    ValueError
        If there is no such layer.
    """
    _find_encoder(model).trainable = False
    return model


def unfreeze_encoder(model: keras.Model, *, batch_norm: bool = False) -> keras.Model:
    """Let the encoder learn as well: fine-tuning; compile afterwards, at a low learning rate.

    Parameters
    ----------
    model : keras.Model
        With a layer named "encoder".
    batch_norm : bool
        Whether batch normalisation learns too. With batches of a few images its stored
        statistics are the better ones.

    Returns
    -------
    keras.Model
        `model` itself.
    """
    encoder = _find_encoder(model)
    encoder.trainable = True
    for layer in encoder.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = batch_norm
    return model


def _find_encoder(model: keras.Model) -> keras.Model:
    for layer in model.layers:
        if layer.name == "encoder":
            return layer
    raise ValueError(
        f"model {model.name!r} has no layer 'encoder': build one on an encoder, such as "
        "build_unet('vgg16_unet')."
    )
