"""All networks by name, with their published options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from helpers.unets import dense, encoder_networks, fcn, oztel, plain, published, variants

__all__ = ["ARCHITECTURES", "Architecture"]


@dataclass(frozen=True)
class Architecture:
    """One entry of :data:`ARCHITECTURES`.

    Attributes
    ----------
    description : str
        One line, with the source.
    network : callable
        ``output = network(x, head, **options)``; its docstring tells the options.
    published : dict
        Number of dimensions to the published options. Its keys are the possible dimensions.
    divisor : dict
        Number of dimensions to what the input sizes must be divisible by with these options;
        for others ask :func:`helpers.unets.input_divisor`.
    supervise : callable, optional
        With deep supervision: from the names of the outputs to the weights of their losses.
    """

    description: str
    network: Callable
    published: dict[int, dict[str, Any]]
    divisor: dict[int, tuple[int, ...]]
    supervise: Callable | None = field(default=None, repr=False)

    @property
    def deep_supervision(self) -> bool:
        """Whether the network has several outputs in training."""
        return self.supervise is not None

    @property
    def source(self) -> Callable:
        """The function that `network` is, or that it calls."""
        return getattr(self.network, "func", self.network)


def _mnet_weights(names: Sequence[str]) -> dict[str, float]:
    """0.6 for the mean, 0.4 shared by the rest."""
    return {n: 0.6 if n == "main" else 0.4 / (len(names) - 1) for n in names}


def _nnunet_weights(names: Sequence[str]) -> dict[str, float]:
    """Halved from scale to scale, 0 for the coarsest of several; the sum is 1."""
    raw = [2.0**-i for i in range(len(names))]
    if len(raw) > 1:
        raw[-1] = 0.0
    return {n: w / sum(raw) for n, w in zip(names, raw, strict=True)}


def _xiao_weights(names: Sequence[str]) -> dict[str, float]:
    weights = {"main": 1.0, "aux_1": 0.15, "aux_2": 0.3}
    return {n: weights[n] for n in names}


_2D = {"filters": (16, 32, 64, 128, 256), "dropout": (0.1, 0.1, 0.2, 0.2, 0.3)}
_3D = {"filters": (28, 36, 48, 64), "dropout": 0.0}
_DEEP_3D = {"filters": (28, 36, 48, 64, 80), "dropout": 0.0}
_FLAT_3D = {"filters": (36, 48, 64, 80), "dropout": 0.0}
_WIDE = {"filters": (32, 64, 128, 256, 512)}
_WIDE_3D = {"filters": (32, 64, 128, 256)}
_NN_2D = {"filters": (32, 64, 128, 256, 480, 480, 480, 480, 480), "dropout": 0.0,
          "strides": (2,) * 7 + ((1, 2),)}  # fmt: skip
_NN_3D = {"filters": (32, 64, 128, 256, 320), "dropout": 0.0}
_BY_8_16 = {2: (16, 16), 3: (8, 8, 8)}

ARCHITECTURES: dict[str, Architecture] = {
    "unet": Architecture(
        "U-Net with ELU and dropout: the baseline (Franco-Barranco et al. 2022)",
        plain.unet_network,
        {2: _2D, 3: _3D},
        _BY_8_16,
    ),
    "residual": Architecture(
        "U-Net of pre-activation residual blocks",
        partial(plain.unet_network, block="residual"),
        {2: _2D, 3: _DEEP_3D},
        {2: (16, 16), 3: (16, 16, 16)},
    ),
    "attention": Architecture(
        "U-Net with additive attention gates (Oktay et al. 2018)",
        partial(plain.unet_network, gate="skip"),
        {2: _2D, 3: _3D},
        _BY_8_16,
    ),
    "squeeze_excite": Architecture(
        "U-Net with channel weights (Hu et al. 2018)",
        partial(plain.unet_network, squeeze=16),
        {2: _2D, 3: _3D},
        _BY_8_16,
    ),
    "anisotropic": Architecture(
        "U-Net that does not pool along z, for thick sections",
        partial(plain.unet_network, pool_size=(1, 2, 2)),
        {3: _3D},
        {3: (1, 8, 8)},
    ),
    "residual_anisotropic": Architecture(
        "residual U-Net that does not pool along z",
        partial(plain.unet_network, block="residual", pool_size=(1, 2, 2)),
        {3: _FLAT_3D},
        {3: (1, 8, 8)},
    ),
    "multires": Architecture(
        "MultiResUNet: chained 3x3 convolutions, residual skip paths (Ibtehaz & Rahman 2020)",
        variants.multires_network,
        {2: _WIDE, 3: _WIDE_3D},
        _BY_8_16,
    ),
    "fcn8": Architecture(
        "fully convolutional VGG16, scores of three scales (Long et al. 2015)",
        partial(fcn.fcn_network, finest=8),
        {2: {}},
        {2: (32, 32)},
    ),
    "fcn32": Architecture(
        "fully convolutional VGG16, coarse scores enlarged (Long et al. 2015)",
        partial(fcn.fcn_network, finest=32),
        {2: {}},
        {2: (32, 32)},
    ),
    "mnet": Architecture(
        "M-Net: image pyramid in, outputs of all levels averaged (Fu et al. 2018)",
        variants.mnet_network,
        {2: {**_WIDE, "dropout": 0.0}, 3: {**_WIDE_3D, "dropout": 0.0}},
        _BY_8_16,
        _mnet_weights,
    ),
    "densenet": Architecture(
        "FC-DenseNet103, the Tiramisu (Jégou et al. 2017)",
        dense.dense_network,
        {2: {}, 3: {"n_layers": (3, 4, 5, 6)}},
        {2: (32, 32), 3: (8, 8, 8)},
    ),
    "unet++": Architecture(
        "U-Net++ with nested skip connections (Zhou et al. 2018)",
        dense.nested_network,
        {2: {**_WIDE, "dropout": 0.0}, 3: {**_WIDE_3D, "dropout": 0.0}},
        _BY_8_16,
    ),
    "unet++_resnet50": Architecture(
        "U-Net++ on a ResNet-50",
        encoder_networks.nested_encoder_network,
        {2: {}},
        {2: (32, 32)},
    ),
    "nnunet": Architecture(
        "strided convolutions and deep supervision as in nnU-Net (Isensee et al. 2021)",
        variants.nnunet_network,
        {2: _NN_2D, 3: _NN_3D},
        {2: (128, 256), 3: (16, 16, 16)},
        _nnunet_weights,
    ),
    "vanilla_3d": Architecture(
        "the first 3D U-Net (Çiçek et al. 2016)",
        plain.vanilla_network,
        {3: {**_WIDE_3D, "dropout": 0.0}},
        {3: (8, 8, 8)},
    ),
    "casser2018": Architecture(
        "light 2D U-Net (Casser et al. 2018)",
        published.casser_network,
        {2: {"filters": (16, 32, 64, 128, 256)}},
        {2: (16, 16)},
    ),
    "cheng2017": Architecture(
        "factorised convolutions, stochastic downsampling (Cheng & Varshney 2017)",
        published.cheng_network,
        {2: {}, 3: {}},
        {2: (16, 16), 3: (16, 16, 16)},
    ),
    "xiao2018": Architecture(
        "residual 3D network with deep supervision (Xiao et al. 2018)",
        published.xiao_network,
        {3: {"filters": (32, 48, 64, 80), "dropout": 0.0}},
        {3: (1, 8, 8)},
        _xiao_weights,
    ),
    "oztel2017": Architecture(
        "patch classifier, run over whole images and aligned (Oztel et al. 2017)",
        oztel.oztel_network,
        {2: {}},
        {2: (8, 8)},
    ),
    "afm_unet": Architecture(
        "U-Net for AFM height maps, 2 to 5 levels (Tiryaki et al. 2022)",
        plain.afm_network,
        {2: {"filters": (16, 32, 64, 128, 256)}},
        {2: (16, 16)},
    ),
    "vgg16_unet": Architecture(
        "U-VGG16: decoder on an ImageNet encoder (Tiryaki et al. 2022)",
        partial(encoder_networks.vgg_network, backbone="vgg16"),
        {2: {}},
        {2: (16, 16)},
    ),
    "vgg19_unet": Architecture(
        "U-VGG19: decoder on an ImageNet encoder (Tiryaki et al. 2022)",
        partial(encoder_networks.vgg_network, backbone="vgg19"),
        {2: {}},
        {2: (16, 16)},
    ),
    "xception_unet": Architecture(
        "U-Xception: residual decoder on an ImageNet encoder (Tiryaki et al. 2022)",
        encoder_networks.xception_network,
        {2: {}},
        {2: (32, 32)},
    ),
}
