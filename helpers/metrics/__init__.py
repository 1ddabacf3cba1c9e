"""Every score of the collection: import all of them from here.

    datasets          whole data sets
    objects           label images: matched objects, SEG, merges, splits
    pixels            masks, and denoised images
    overlap           the table of shared pixels on which they rest
    merges, outlines  errors in percent of the objects; outlines and thin processes

``docs/metrics.md`` has the formulas, the rules and when each score misleads.

What `__all__` lists can be imported from here.
"""

from helpers.metrics.datasets import (
    DatasetScores,
    bootstrap_interval,
    score_dataset,
    score_mask_dataset,
)
from helpers.metrics.objects import (
    REPORTED,
    THRESHOLDS,
    InstanceScores,
    ObjectMatches,
    match_objects,
    score_instances,
)
from helpers.metrics.overlap import MIN_SHARE
from helpers.metrics.pixels import (
    MaskScores,
    count_mask_pixels,
    fit_gain_offset,
    psnr,
    score_masks,
    ssim,
)

__all__ = [
    "DatasetScores",
    "InstanceScores",
    "MIN_SHARE",
    "MaskScores",
    "ObjectMatches",
    "REPORTED",
    "THRESHOLDS",
    "bootstrap_interval",
    "count_mask_pixels",
    "fit_gain_offset",
    "match_objects",
    "psnr",
    "score_dataset",
    "score_instances",
    "score_mask_dataset",
    "score_masks",
    "ssim",
]
