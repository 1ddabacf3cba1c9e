"""What a network's graph tells: sizes it takes, scales of its outputs, its main output."""

from __future__ import annotations

import math
from fractions import Fraction

import keras
import numpy as np
from keras import layers, tree

from helpers.unets.heads import MAIN

__all__ = ["input_divisor", "main_output", "output_strides", "supervision_targets"]


def input_divisor(model: keras.Model) -> tuple[int, ...]:
    """Return by what the sizes of a network's input must be divisible.

    Parameters
    ----------
    model : keras.Model
        Made by :func:`helpers.unets.build_unet`, also after reloading.

    Returns
    -------
    tuple of int
        One number per spatial axis: the least common multiple of all strides of the network.

    Examples
    --------
    >>> from helpers.unets import build_unet
    >>> input_divisor(build_unet("unet", ndim=3, filters=2, depth=2, pool_size=(1, 2, 2)))
    (1, 4, 4)
    """
    ndim = len(model.inputs[0].shape) - 2
    found = _walk(model, (Fraction(1),) * ndim)[1]
    return tuple(math.lcm(*(int(s[a]) for s in found if s[a] >= 1)) for a in range(ndim))


def output_strides(model: keras.Model) -> dict[str, tuple[int, ...]]:
    """Return how many input pixels one output pixel spans, for each output by its name."""
    ndim = len(model.inputs[0].shape) - 2
    known = _walk(model, (Fraction(1),) * ndim)[0]
    outputs = model.output if isinstance(model.output, dict) else {MAIN: model.output}
    return {name: tuple(int(s) for s in known[id(t)]) for name, t in outputs.items()}


def main_output(model: keras.Model) -> keras.Model:
    """Return the part of a network that prediction needs: one output, the same weights.

    Parameters
    ----------
    model : keras.Model
        Made by :func:`helpers.unets.build_unet`, also after reloading.

    Returns
    -------
    keras.Model
        With deep supervision, a model with the output ``"main"`` alone, which is as large as
        the input; otherwise `model` itself.
    """
    if not isinstance(model.output, dict):
        return model
    return keras.Model(model.inputs, model.output[MAIN], name=model.name)


def supervision_targets(model: keras.Model, target: np.ndarray):
    """Return the target for each output of a network.

    Parameters
    ----------
    model : keras.Model
        Made by :func:`helpers.unets.build_unet`.
    target : ndarray, N, spatial axes, C
        Target at full resolution.

    Returns
    -------
    ndarray or dict of ndarray
        `target` itself for a network with one output; otherwise, by the names of the outputs,
        the target shrunk to the output's scale: the pixel at the middle of each cell, so that
        masks stay masks.
    """
    if not isinstance(model.output, dict):
        return target
    return {name: _every(target, strides) for name, strides in output_strides(model).items()}


def _every(target: np.ndarray, strides: tuple[int, ...]) -> np.ndarray:
    return target[(slice(None), *(slice(s // 2, None, s) for s in strides))]


def _walk(model: keras.Model, start: tuple) -> tuple[dict, list]:
    """Return the stride of each tensor by its id, and all strides that sizes must fit."""
    known = {id(tensor): start for tensor in model.inputs}
    fit = [start]
    for layer in model.layers:
        if isinstance(layer, layers.InputLayer):
            continue
        node = layer._inbound_nodes[0]  # of a nested model, `input` is its own, not the call's
        before = [known.get(id(t), start) for t in tree.flatten(node.input_tensors)]
        stride = tuple(max(axis) for axis in zip(*before, strict=True))
        if isinstance(layer, keras.Model):
            inner, inner_fit = _walk(layer, stride)
            fit += inner_fit
            after = [inner[id(t)] for t in tree.flatten(layer.outputs)]
        else:
            after = [_multiply(stride, _scale(layer, len(start)))] * len(node.outputs)
            fit += [_multiply(stride, (layer.cell,) * len(start))] if hasattr(layer, "cell") else []
        fit += after
        known.update(zip(map(id, node.outputs), after, strict=True))
    return known, fit


def _multiply(one: tuple, other: tuple) -> tuple:
    return tuple(a * b for a, b in zip(one, other, strict=True))


def _scale(layer: layers.Layer, ndim: int) -> tuple:
    """Return by how much a layer shrinks each axis; enlarging counts as a fraction."""
    if "Transpose" in type(layer).__name__:
        return tuple(Fraction(1, s) for s in layer.strides)
    if hasattr(layer, "strides"):
        return tuple(Fraction(s) for s in layer.strides)
    if hasattr(layer, "size"):
        return tuple(Fraction(1, s) for s in layer.size)
    return (Fraction(1),) * ndim
