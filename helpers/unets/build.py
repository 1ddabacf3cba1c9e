"""Build a network by its name, with published options unless others are given."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from helpers.unets import encoders
from helpers.unets.heads import Head
from helpers.unets.registry import ARCHITECTURES, Architecture

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["build_unet", "list_architectures", "list_options", "loss_weights"]


def build_unet(
    architecture: str = "unet",
    *,
    ndim: int = 2,
    channels: int = 1,
    classes: int = 1,
    activation: str = "sigmoid",
    prior: float | Sequence[float] | None = None,
    **options,
) -> keras.Model:
    """Build a segmentation network, not yet compiled, for inputs of any suitable size.

    Parameters
    ----------
    architecture : str
        A key of :data:`ARCHITECTURES`.
    ndim : {2, 3}
        Dimensions of the images.
    channels : int
        Channels of the input.
    classes : int
        Channels of the output. One channel with a sigmoid computes the same function as the
        two-class softmax that some of the papers use.
    activation : {"sigmoid", "softmax", "linear"}
        Of the output.
    prior : float or sequence of float, optional
        Share of the foreground in the training masks, such as .06. The output's bias starts at
        log(p / (1 - p)), so the untrained network predicts this share: it does not have to
        learn first that most pixels are background, a phase that can end in a network that
        predicts nothing else. For a softmax, the shares of all classes.
    **options
        Those of the network (:func:`list_options`); without them the published ones. Most
        networks take ``normalization`` ("batch", "group" or None) and ``dropout``. Those with
        levels also take ``filters``, the feature maps of the first level, doubled from level
        to level, or of all levels; and ``depth``, the number of poolings. ``dropout`` is one
        rate or a sequence from full resolution down.

    Returns
    -------
    keras.Model
        Input (N, spatial axes, `channels`); output (N, spatial axes, `classes`), or a
        dictionary of outputs for deep supervision, of which ``"main"`` is for prediction
        (:func:`helpers.unets.main_output`).

    Raises
    ------
    ValueError
        If the architecture, the number of dimensions or an option is unknown.

    Notes
    -----
    Input sizes must be multiples of :func:`helpers.unets.input_divisor`.

    Examples
    --------
    >>> model = build_unet("unet", prior=0.06)
    >>> model.count_params()
    1940817
    """
    entry = _find(architecture, ndim)
    chosen = _resolve(architecture, ndim, options)
    x = keras.Input((*(None,) * ndim, channels), name="image")
    output = entry.network(x, Head(classes, activation, prior), **chosen)
    name = f"{architecture}_{ndim}d".replace("++", "pp")
    return keras.Model(x, output, name=name)


def list_architectures() -> pd.DataFrame:
    """Return a table of all networks.

    Returns
    -------
    pandas.DataFrame
        Index ``architecture``; columns ``description``, ``dimensions``, ``divisor`` (of the
        input sizes, with the published options) and ``deep_supervision``.
    """
    import pandas as pd

    rows = {
        name: {
            "description": entry.description,
            "dimensions": tuple(entry.published),
            "divisor": entry.divisor,
            "deep_supervision": entry.deep_supervision,
        }
        for name, entry in ARCHITECTURES.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("architecture")


def list_options(architecture: str, *, ndim: int = 2) -> dict[str, Any]:
    """Return the options of a network and their published values.

    Parameters
    ----------
    architecture : str
        A key of :data:`ARCHITECTURES`.
    ndim : {2, 3}
        Dimensions of the images.

    Returns
    -------
    dict
        Option to value. ``help(ARCHITECTURES[name].source)`` explains them.

    Examples
    --------
    >>> list_options("casser2018")
    {'filters': (16, 32, 64, 128, 256), 'dropout': 0.2, 'normalization': None}
    """
    entry = _find(architecture, ndim)
    own = _parameters(entry.network)
    if "encoder" in own:
        own |= _parameters(encoders.encoder_features)
    given = getattr(entry.network, "keywords", {}) | entry.published[ndim]
    defaults = {n: p.default for n, p in own.items() if p.kind is p.KEYWORD_ONLY}
    return defaults | given


def loss_weights(architecture: str, model: keras.Model) -> dict[str, float] | None:
    """Return the weights of the losses of a network with deep supervision.

    Parameters
    ----------
    architecture : str
        A key of :data:`ARCHITECTURES`.
    model : keras.Model
        Built as such.

    Returns
    -------
    dict or None
        Name of each output to the published weight; None for a network with one output.
        Goes with a dictionary of losses to ``model.compile``.
    """
    entry = _find(architecture, len(model.inputs[0].shape) - 2)
    return entry.supervise(list(model.output)) if entry.supervise else None


def _find(architecture: str, ndim: int) -> Architecture:
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"architecture is {architecture!r}: choose one of {', '.join(ARCHITECTURES)}."
        )
    entry = ARCHITECTURES[architecture]
    if ndim not in entry.published:
        possible = " and ".join(f"ndim={n}" for n in entry.published)
        raise ValueError(f"ndim is {ndim}, but {architecture!r} exists for {possible} only.")
    return entry


def _parameters(function) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def _resolve(name: str, ndim: int, options: dict) -> dict[str, Any]:
    """Join the published options and the user's; spread filters and dropout over levels."""
    entry = ARCHITECTURES[name]
    known = list_options(name, ndim=ndim)
    levels = isinstance(entry.published[ndim].get("filters"), tuple)
    allowed = {*known, *(["depth"] if levels else [])}
    if unknown := sorted(set(options) - allowed):
        raise ValueError(
            f"{name!r} has no option {', '.join(unknown)}: it has {', '.join(sorted(allowed))}."
        )
    chosen = {**entry.published[ndim], **options}
    if not levels:
        return chosen
    depth = chosen.pop("depth", None)
    if depth is not None and "strides" not in options:
        chosen.pop("strides", None)
    published = entry.published[ndim]["filters"]
    chosen["filters"] = _spread_filters(options.get("filters"), depth, published)
    if "dropout" in entry.published[ndim]:
        n_levels = len(chosen["filters"])
        chosen["dropout"] = _spread_dropout(chosen["dropout"], n_levels, "dropout" in options)
    return chosen


def _spread_filters(filters, depth: int | None, published: tuple[int, ...]) -> tuple[int, ...]:
    """Return the feature maps of each level."""
    if filters is None:
        depth = len(published) - 1 if depth is None else depth
        more = [published[-1] * 2**k for k in range(1, depth + 2 - len(published))]
        return (*published, *more)[: depth + 1]
    if isinstance(filters, int):
        return tuple(filters * 2**k for k in range(len(published) if depth is None else depth + 1))
    if depth is not None and len(filters) != depth + 1:
        raise ValueError(
            f"filters has {len(filters)} levels and depth is {depth}: give {depth + 1} numbers, "
            "or leave depth out."
        )
    return tuple(filters)


def _spread_dropout(dropout, n_levels: int, given: bool) -> tuple[float, ...]:
    """Return the rate of each level; published rates are cut, or their last one repeated."""
    if isinstance(dropout, (int, float)):
        return (float(dropout),) * n_levels
    if not given:
        return (*dropout, *[dropout[-1]] * n_levels)[:n_levels]
    if len(dropout) != n_levels:
        raise ValueError(
            f"dropout has {len(dropout)} rates: give one number, or one per level, {n_levels}."
        )
    return tuple(dropout)
