"""The scaling of grey values before a network, in the words of the BioImage Model Zoo."""

from __future__ import annotations

import numpy as np

from helpers.normalise import Normalizer
from helpers.predict.predictors import Predictor

__all__ = ["describe_scaling", "linear_step"]


def describe_scaling(predictor: Predictor, raw: np.ndarray):
    """Return the scaled input, what describes the scaling, and gain and offset of the output."""
    if predictor.name == "afm_unet":
        return raw, lambda zoo, names: [], None
    if predictor.name == "n2v":
        config = predictor.model.config
        mean, std = float(config.means[0]), float(config.stds[0])
        normalizer, after = Normalizer("mean_std", constants=(mean, std)), (std, mean)
    else:
        stored = predictor.settings.get("normalizer") or {}
        if hasattr(predictor.model, "normalizer"):
            stored = predictor.model.normalizer.to_dict()
        normalizer, after = Normalizer.from_dict(stored), None
    x = normalizer(raw)
    clip = predictor.name in ("fpn_watershed", "mask_rcnn")
    x = np.clip(x, 0, 1) if clip else x
    return x, lambda zoo, names: _steps(zoo, normalizer, names, clip), after


def _steps(zoo, normalizer: Normalizer, names: str, clip: bool) -> list:
    steps = []
    if normalizer.constants is None and normalizer.kind == "percentile":
        axes = [*map(zoo.AxisId, (*names, "channel"))]
        limits = {"min_percentile": normalizer.low, "max_percentile": normalizer.high}
        steps = [zoo.ScaleRangeDescr(kwargs=zoo.ScaleRangeKwargs(axes=axes, **limits))]
    elif normalizer.kind == "mean_std" and normalizer.constants:
        mean, std = normalizer.constants
        kwargs = zoo.FixedZeroMeanUnitVarianceKwargs(mean=mean, std=std)
        steps = [zoo.FixedZeroMeanUnitVarianceDescr(kwargs=kwargs)]
    elif normalizer.constants:
        low, high = normalizer.constants
        steps = linear_step(zoo, 1 / (high - low), -low / (high - low))
    else:
        steps = [zoo.ZeroMeanUnitVarianceDescr()]
    return [*steps, zoo.ClipDescr(kwargs=zoo.ClipKwargs(min=0.0, max=1.0))] if clip else steps


def linear_step(zoo, gain: float, offset: float) -> list:
    """Return the step ``gain * x + offset``."""
    return [zoo.ScaleLinearDescr(kwargs=zoo.ScaleLinearKwargs(gain=gain, offset=offset))]
