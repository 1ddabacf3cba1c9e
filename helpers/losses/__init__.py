"""Losses for masks: what is foreground, in 2D and 3D; and an alarm for networks that give up.

    masks     the losses by name
    border    weights for the pixels between objects that nearly touch
    collapse  the alarm
    base      what the losses have in common

What `__all__` lists can be imported from here.
"""

from helpers.losses.base import MaskLoss
from helpers.losses.border import border_weights
from helpers.losses.collapse import check_collapse
from helpers.losses.masks import (
    LOSSES,
    BinaryCrossentropy,
    BorderWeightedCrossentropy,
    Dice,
    DiceCrossentropy,
    Focal,
    FocalTversky,
    LogCoshDice,
    Tversky,
    make_loss,
)

__all__ = [
    "BinaryCrossentropy",
    "BorderWeightedCrossentropy",
    "Dice",
    "DiceCrossentropy",
    "Focal",
    "FocalTversky",
    "LOSSES",
    "LogCoshDice",
    "MaskLoss",
    "Tversky",
    "border_weights",
    "check_collapse",
    "make_loss",
]
