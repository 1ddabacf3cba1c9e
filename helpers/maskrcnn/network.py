"""The networks inside a Mask R-CNN: backbone, feature pyramid, proposals, box and mask heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.maskrcnn.anchors import count_anchors

if TYPE_CHECKING:
    import keras

    from helpers.maskrcnn.settings import Settings

__all__ = [
    "build_backbone",
    "build_box_head",
    "build_mask_head",
    "build_proposal_head",
    "build_pyramid",
]


def build_backbone(settings: Settings, weights: str | None = None) -> keras.Model:
    """Make the network that finds features.

    Parameters
    ----------
    settings : Settings
        Which one, and its strides.
    weights : {None, "imagenet"} or path
        Of an encoder of ``keras.applications``; the small backbone starts at random.

    Returns
    -------
    keras.Model
        Images NYXC, values 0 to 1, to one feature image for each of ``settings.strides``.
    """
    from keras import Input, Model

    image = Input((None, None, settings.n_channels), name="image")
    if settings.backbone == "small":
        features = _small_features(image, settings)
    else:
        from helpers.unets.encoders import encoder_features

        features = encoder_features(image, settings.backbone, weights=weights)
    by_stride = {2 ** (k + 1): x for k, x in enumerate(features)}
    if missing := [s for s in settings.strides if s not in by_stride]:
        raise ValueError(
            f"backbone {settings.backbone!r} has no features at the strides {missing}: choose "
            f"among {list(by_stride)}"
        )
    return Model(image, [by_stride[s] for s in settings.strides], name="backbone")


def _small_features(x, settings: Settings) -> list:
    """Return features of residual blocks at strides 2, 4, ...; He et al. 2016, basic blocks."""
    from keras import layers

    def normalise(x):
        return layers.BatchNormalization(momentum=settings.memory)(x)

    def convolve(x, filters, strides=1):
        options = dict(padding="same", use_bias=False, kernel_initializer="he_normal")
        return normalise(layers.Conv2D(filters, 3, strides, **options)(x))

    features, stride, filters = [], 2, settings.filters
    while stride <= settings.strides[-1]:
        x = layers.ReLU()(convolve(x, filters, 2))
        for _ in range(1 if stride == 2 else 2):
            y = convolve(layers.ReLU()(convolve(x, filters)), filters)
            x = layers.ReLU()(layers.Add()([x, y]))
        features.append(x)
        stride, filters = 2 * stride, min(2 * filters, 4 * settings.filters)
    return features


def build_pyramid(settings: Settings, channels: list[int]) -> keras.Model:
    """Make the feature pyramid: coarse levels hand down what they know of the surroundings.

    Parameters
    ----------
    settings : Settings
        Channels of the pyramid.
    channels : list of int
        Channels of the features of the backbone, finest first.

    Returns
    -------
    keras.Model
        Features, finest first, to as many levels of equal channels.

    Notes
    -----
    Lin et al. 2017: convolutions of size 1, nearest up-sampling, sum, convolution of size 3.
    """
    from keras import Input, Model, layers

    n = settings.pyramid_filters
    features = [Input((None, None, c)) for c in channels]
    levels = [layers.Conv2D(n, 1)(x) for x in features]
    for k in range(len(levels) - 2, -1, -1):
        levels[k] = layers.Add()([levels[k], layers.UpSampling2D(2)(levels[k + 1])])
    smooth = [layers.Conv2D(n, 3, padding="same", activation="relu")(x) for x in levels]
    return Model(features, smooth, name="pyramid")


def build_proposal_head(settings: Settings) -> keras.Model:
    """Make the head that rates anchors and moves them; the same for all levels.

    Returns
    -------
    keras.Model
        A level NYXC to logits, NYXA for A anchors at a place, and box codes NYX(4A).

    Notes
    -----
    Ren et al. 2015, section 3.1.
    """
    from keras import Input, Model, layers

    n = settings.pyramid_filters
    n_anchors = count_anchors(settings.anchor_sizes, settings.anchor_ratios)
    level = Input((None, None, n))
    x = layers.Conv2D(n, 3, padding="same", activation="relu")(level)
    outputs = [_small_start(k, rare=k == n_anchors)(x) for k in (n_anchors, 4 * n_anchors)]
    return Model(level, outputs, name="proposal_head")


def _small_start(n: int, *, rare: bool = False):
    """Return a convolution whose first output is near 0, or says "one in a hundred"."""
    from keras.initializers import Constant, RandomNormal
    from keras.layers import Conv2D

    bias = Constant(-4.6 if rare else 0.0)
    return Conv2D(n, 1, kernel_initializer=RandomNormal(stddev=0.01), bias_initializer=bias)


def build_box_head(settings: Settings) -> keras.Model:
    """Make the head that names the class of a region and mends its box.

    Returns
    -------
    keras.Model
        Features (regions, S, S, C) to class logits (regions, K + 1), background first, and
        box codes (regions, 4 K), one box for each class.

    Notes
    -----
    Girshick 2015; He et al. 2017, figure 4: two dense layers.
    """
    from keras import Input, Model, initializers, layers

    shape = (settings.box_size, settings.box_size, settings.pyramid_filters)
    region = Input(shape)
    x = layers.Flatten()(region)
    for _ in range(2):
        x = layers.Dense(settings.box_units, activation="relu")(x)
    start = initializers.RandomNormal(stddev=0.01)
    classes = layers.Dense(settings.n_classes + 1, kernel_initializer=start)(x)
    codes = layers.Dense(4 * settings.n_classes, kernel_initializer=start)(x)
    return Model(region, [classes, codes], name="box_head")


def build_mask_head(settings: Settings) -> keras.Model:
    """Make the head that draws a mask for each class into a region.

    Returns
    -------
    keras.Model
        Features (regions, S, S, C) to logits (regions, 2 S, 2 S, K).

    Notes
    -----
    He et al. 2017, figure 4: convolutions, one transposed convolution, one of size 1.
    """
    from keras import Input, Model, layers

    n = settings.mask_filters
    region = Input((settings.mask_size, settings.mask_size, settings.pyramid_filters))
    x = region
    for _ in range(settings.mask_layers):
        x = layers.Conv2D(n, 3, padding="same", activation="relu", kernel_initializer="he_normal")(
            x
        )
    x = layers.Conv2DTranspose(n, 2, 2, activation="relu", kernel_initializer="he_normal")(x)
    return Model(region, layers.Conv2D(settings.n_classes, 1)(x), name="mask_head")
