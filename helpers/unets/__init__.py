"""Segmentation networks, 2D and 3D, from one function: :func:`build_unet`.

``ARCHITECTURES`` lists them. Each is a function of shared blocks, its options are keywords,
and every model can be saved and reloaded without code of a notebook.
"""

from helpers.unets.build import build_unet, list_architectures, list_options, loss_weights
from helpers.unets.encoders import freeze_encoder, unfreeze_encoder
from helpers.unets.graph import input_divisor, main_output, output_strides, supervision_targets
from helpers.unets.oztel import label_patches, refine_slices
from helpers.unets.registry import ARCHITECTURES, Architecture
from helpers.unets.settings import published_settings

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "build_unet",
    "freeze_encoder",
    "input_divisor",
    "label_patches",
    "list_architectures",
    "list_options",
    "loss_weights",
    "main_output",
    "output_strides",
    "published_settings",
    "refine_slices",
    "supervision_targets",
    "unfreeze_encoder",
]
