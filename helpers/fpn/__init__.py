"""FPN2-WS: networks for a distance map and a border map, then a seeded watershed.

    networks          feature pyramids on encoders of segmentation-models
    layers, loss      parts that can be saved and take any size; what is learned
    batches           targets, and batches of patches with them
    training          first with a frozen encoder, then all layers
    watershed         maps to nuclei, by the thresholds of a `watershed_rule`
    watershed_tuning  these thresholds, chosen on validation images
    field             fields of any size, tile by tile

Source: Zaki et al. 2020.

What `__all__` lists can be imported from here.
"""

from helpers.fpn.batches import find_contacts, fpn_targets, patch_batches, patch_validation
from helpers.fpn.networks import BACKBONES, LIGHT_BACKBONES, FpnNetworks, build_fpn, build_networks
from helpers.fpn.training import set_encoder_trainable, train_fpn

__all__ = [
    "BACKBONES",
    "FpnNetworks",
    "LIGHT_BACKBONES",
    "build_fpn",
    "build_networks",
    "find_contacts",
    "fpn_targets",
    "patch_batches",
    "patch_validation",
    "set_encoder_trainable",
    "train_fpn",
]
