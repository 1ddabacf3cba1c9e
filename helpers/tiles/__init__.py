"""Prediction of images and volumes of any size, in bounded memory.

    predict       window by window
    windows       where they lie, and weights that blend them without seams
    orientations  flips and turns, for predicting one image several times
    predictor     reading windows and predicting them in batches
    blocks        arrays larger than memory, on several processes or machines
    block_inputs  what blocks are predicted from

What `__all__` lists can be imported from here.
"""

from helpers.tiles.orientations import Turn, restore_vectors, turns
from helpers.tiles.predict import predict_block, predict_tiled
from helpers.tiles.windows import Windows, fit_tile_shape, plan_blocks, plan_windows

__all__ = [
    "Turn",
    "Windows",
    "fit_tile_shape",
    "plan_blocks",
    "plan_windows",
    "predict_block",
    "predict_tiled",
    "restore_vectors",
    "turns",
]
