"""How patches for training are made: the recipe, the published one and a mild one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from helpers.augment.with_imgaug import GROUPS, check_groups, default_pipeline, published_pipeline
from helpers.normalise import Normalizer

if TYPE_CHECKING:
    from imgaug.augmenters import Augmenter

__all__ = ["ALL_GROUPS", "DEFAULT", "PUBLISHED", "Recipe"]

ALL_GROUPS = (*GROUPS, "scaling")
"""What a :class:`Recipe` can leave out: the groups of a pipeline, and the scaling."""


@dataclass(frozen=True)
class Recipe:
    """How patches are made; :data:`PUBLISHED` and :data:`DEFAULT` are two of them.

    Parameters
    ----------
    pipeline : {"default", "published"}
        What imgaug does to each patch: :func:`default_pipeline`, :func:`published_pipeline`.
    without : tuple of str
        Groups that change nothing, for studies: "geometry", "contrast", "noise", "blur" of the
        pipeline, and "scaling", which leaves all images at their size.
    scales : tuple of float
        Factors by which images are resized. With `any_scale` a factor is drawn between the
        smallest and the largest for each patch; else each is used equally often.
    any_scale : bool
        See `scales`.
    size : int
        Side of the patches in pixels.
    shoulder : int
        Patches keep so many pixels from the frame of the image, where it is large enough.
    cut_objects : {"mask", "drop", "keep"}
        Objects cut by the edge of the patch, whose centre and outline the target cannot show:
        they stay in the labels and get weight 0; become background, although the image
        shows them; or count as if they ended there (published).
    normalizer : Normalizer
        Grey values to 0 to 1, measured on the whole image, then 8 bits.

    Raises
    ------
    ValueError
        If a value makes no sense.
    """

    pipeline: str = "default"
    without: tuple[str, ...] = ()
    scales: tuple[float, ...] = (0.75, 1.33)
    any_scale: bool = True
    size: int = 256
    shoulder: int = 0
    cut_objects: str = "mask"
    normalizer: Normalizer = field(default_factory=Normalizer)

    def __post_init__(self):
        """Check the values."""
        object.__setattr__(self, "scales", tuple(self.scales))
        object.__setattr__(self, "without", tuple(self.without))
        _check_choice("pipeline", self.pipeline, tuple(_PIPELINES))
        _check_choice("cut_objects", self.cut_objects, ("mask", "drop", "keep"))
        check_groups(self.without, ALL_GROUPS)
        if not self.scales or not min(self.scales) > 0:
            raise ValueError(f"scales is {self.scales}: give positive factors, (1.0,) for none")
        if self.size < 1 or self.shoulder < 0:
            raise ValueError(f"size is {self.size}, shoulder {self.shoulder}: give pixels")

    def make_pipeline(self) -> Augmenter:
        """Return the pipeline without the groups left out."""
        return _PIPELINES[self.pipeline](without=[g for g in self.without if g in GROUPS])

    @property
    def used_scales(self) -> tuple[float, ...]:
        """The factors in use: 1 alone if the group "scaling" is left out."""
        return (1.0,) if "scaling" in self.without else self.scales


def _check_choice(name: str, value: object, choices: Sequence) -> None:
    if value not in choices:
        raise ValueError(f"{name} has {value!r}: give one of {', '.join(map(repr, choices))}")


_PIPELINES = {"default": default_pipeline, "published": published_pipeline}

DEFAULT = Recipe()
"""Mild: scales from 0.75 to 1.33, percentile normalisation, cut objects masked."""

PUBLISHED = Recipe(
    pipeline="published",
    scales=(1.0, 2.0, 0.333, 0.667, 1.333),
    any_scale=False,
    shoulder=8,
    cut_objects="keep",
    normalizer=Normalizer(low=0, high=100),
)
"""As published, except that images are resized linearly and pieces numbered separately."""
