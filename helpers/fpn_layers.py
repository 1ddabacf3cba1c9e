"""Parts of networks of segmentation-models, written so that they can be saved and reloaded.

Some encoders hold code as ``Lambda`` layers or come with layers of their own, which cannot be
reloaded safely. :func:`mend_layers` puts equal layers in their place; weights stay.
"""

from __future__ import annotations

import keras

__all__ = ["AddAxes", "ScaledSum", "SliceChannels", "mend_layers"]

# A Lambda is called with a mask, and a clone calls its layers as the original did: hence the
# unused `mask` below.


@keras.saving.register_keras_serializable("microseg")
class ScaledSum(keras.layers.Layer):
    """First input plus `scale` times the second: the shortcut of Inception-ResNet.

    Parameters
    ----------
    scale : float
        Factor of the second input.
    """

    def __init__(self, scale, **options):
        super().__init__(**options)
        self.scale = float(scale)

    def call(self, inputs, mask=None):
        """Return the sum."""
        first, second = inputs
        return first + self.scale * second

    def compute_output_shape(self, input_shape):
        """Return the shape of the first input."""
        return input_shape[0]

    def get_config(self):
        """Return the parameters."""
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("microseg")
class SliceChannels(keras.layers.Layer):
    """Channels `start` to `stop`: the input of one group of a ResNeXt.

    Parameters
    ----------
    start, stop : int
        First channel, and the one after the last.
    """

    def __init__(self, start, stop, **options):
        super().__init__(**options)
        self.start, self.stop = int(start), int(stop)

    def call(self, inputs, mask=None):
        """Return the channels."""
        return inputs[..., self.start : self.stop]

    def compute_output_shape(self, input_shape):
        """Return the shape with fewer channels."""
        return (*input_shape[:-1], self.stop - self.start)

    def get_config(self):
        """Return the parameters."""
        return {**super().get_config(), "start": self.start, "stop": self.stop}


@keras.saving.register_keras_serializable("microseg")
class AddAxes(keras.layers.Layer):
    """One value for each channel as an image of one pixel: squeeze and excitation."""

    def call(self, inputs, mask=None):
        """Return NC as NYXC."""
        return inputs[:, None, None, :]

    def compute_output_shape(self, input_shape):
        """Return the shape with two axes of length one."""
        return (input_shape[0], 1, 1, input_shape[1])


def mend_layers(model: keras.Model) -> keras.Model:
    """Return the same network without ``Lambda`` and foreign layers.

    Parameters
    ----------
    model : keras.Model
        As segmentation-models builds it.

    Returns
    -------
    keras.Model
        New layers under the same names, with copies of the weights.

    Raises
    ------
    ValueError
        If there is a ``Lambda`` layer of unknown purpose.
    """
    mended = keras.models.clone_model(model, clone_function=_mend_layer)
    mended.set_weights(model.get_weights())
    return mended


def _mend_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    if isinstance(layer, keras.layers.Lambda):
        return _replace_lambda(layer)
    if type(layer).__name__ == "FixedDropout":
        noise_shape = (None, *layer.noise_shape[1:]) if layer.noise_shape else None
        return keras.layers.Dropout(layer.rate, noise_shape=noise_shape, name=layer.name)
    if getattr(getattr(layer, "activation", None), "__name__", "") == "swish":
        config = {**layer.get_config(), "activation": "silu"}
        return type(layer).from_config(config)
    return layer.__class__.from_config(layer.get_config())


def _replace_lambda(layer: keras.layers.Lambda) -> keras.layers.Layer:
    options = layer.arguments or {}
    if set(options) == {"scale"}:
        return ScaledSum(options["scale"], name=layer.name)
    if set(options) == {"start", "stop", "axis"}:
        return SliceChannels(options["start"], options["stop"], name=layer.name)
    if set(options) == {"channels_axis"}:
        return AddAxes(name=layer.name)
    raise ValueError(
        f"layer {layer.name} is a Lambda with the arguments {sorted(options)}, which is not known: "
        "choose another backbone"
    )
