"""Start from a network that has learned something else: its down path first frozen, then let go."""

from __future__ import annotations

import keras

from helpers.unets import freeze_encoder, unfreeze_encoder

__all__ = ["freeze_body", "unfreeze_body"]

_UP = ("UpSampling", "Conv2DTranspose", "Conv3DTranspose")


def freeze_body(model: keras.Model) -> int:
    """Keep what finds features as it is while the rest learns; compile the model afterwards.

    Parameters
    ----------
    model : keras.Model
        A network on an encoder of ``keras.applications``, or any U-Net of
        :func:`helpers.unets.build_unet` that enlarges by up-sampling or transposed convolution.

    Returns
    -------
    int
        Number of weights that stay as they are. Batch normalisation among them uses its
        stored statistics.

    Raises
    ------
    ValueError
        If the model has neither an encoder nor a layer that enlarges.
    """
    if any(layer.name == "encoder" for layer in model.layers):
        freeze_encoder(model)
    else:
        for layer in _down_path(model):
            layer.trainable = False
    return sum(w.size for w in map(keras.ops.convert_to_numpy, model.non_trainable_weights))


def unfreeze_body(model: keras.Model) -> None:
    """Let all layers learn: fine-tuning; compile the model afterwards, at a low learning rate."""
    if any(layer.name == "encoder" for layer in model.layers):
        unfreeze_encoder(model)
    for layer in model.layers:
        if layer.name != "encoder":
            layer.trainable = True


def _down_path(model):
    layers = list(model.layers)
    up = next((i for i, layer in enumerate(layers) if type(layer).__name__.startswith(_UP)), None)
    if up is None:
        raise ValueError(f"model {model.name!r} has no layer that enlarges: it is no U-Net")
    return layers[:up]
