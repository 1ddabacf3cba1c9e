"""Parts of networks of segmentation-models, so that they can be saved and take any size.

Some encoders hold code as ``Lambda`` layers or come with layers of their own, which cannot be
reloaded safely, and the decoder's enlarging fails on a second size. :func:`mend_layers` puts
equal layers in their place; weights stay.
"""

from __future__ import annotations

import keras
from keras import ops

__all__ = ["AddAxes", "GrowLinear", "ScaledSum", "SliceChannels", "mend_layers"]

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


@keras.saving.register_keras_serializable("microseg")
class GrowLinear(keras.layers.Layer):
    """Image enlarged by whole factors, bilinear: ``UpSampling2D`` for images of any size.

    Parameters
    ----------
    factors : tuple of int
        Of rows and columns.

    Notes
    -----
    Output pixel k of factor f lies at (k + 1/2) / f - 1/2; beyond the frame the outermost
    pixels go on. Keras 3.15's own layer fails once a network has predicted two sizes.
    """

    def __init__(self, factors, **options):
        super().__init__(**options)
        self.factors = tuple(int(factor) for factor in factors)

    def call(self, inputs, mask=None):
        """Return the image, rows and columns multiplied."""
        return _grow(_grow(inputs, self.factors[0], 1), self.factors[1], 2)

    def compute_output_shape(self, input_shape):
        """Return the shape, with unknown sides still unknown."""
        n, *sides, channels = input_shape
        sides = [s and s * factor for s, factor in zip(sides, self.factors, strict=True)]
        return (n, *sides, channels)

    def get_config(self):
        """Return the parameters."""
        return {**super().get_config(), "factors": self.factors}


def _grow(x, factor: int, axis: int):
    def cut(start, stop):
        return x[(slice(None),) * axis + (slice(start, stop),)]

    before = ops.concatenate([cut(None, 1), cut(None, -1)], axis)
    after = ops.concatenate([cut(1, None), cut(-1, None)], axis)
    places = [(k + 0.5) / factor - 0.5 for k in range(factor)]
    phases = [x + abs(d) * ((before if d < 0 else after) - x) for d in places]
    shape = list(ops.shape(x))
    shape[axis] = shape[axis] * factor
    return ops.reshape(ops.stack(phases, axis + 1), shape)


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
    if isinstance(layer, keras.layers.UpSampling2D) and layer.interpolation == "bilinear":
        return GrowLinear(layer.size, name=layer.name)
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
