"""All numbers of a Mask R-CNN in one place."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

__all__ = ["PUBLISHED", "Settings"]


@dataclass(frozen=True)
class Settings:
    """What a Mask R-CNN is made of; the defaults suit nuclei of 10 to 50 pixels and two cores.

    Parameters
    ----------
    n_channels, n_classes : int
        Channels of the images, and classes of objects (background not counted).
    backbone : str
        ``"small"``, a residual network of our own, or an encoder of
        :data:`helpers.unets.encoders.BACKBONES`, such as ``"resnet50"``.
    filters : int
        Of the first level of the small backbone; doubled up to four times as many.
    memory : float
        Share of the old statistics that batch normalisation keeps in each step.
    pyramid_filters : int
        Channels of the feature pyramid (published: 256).
    strides : tuple of int
        Levels of the pyramid that regions read. Nuclei are small: the finest level is 2,
        published 4.
    anchor_strides : tuple of int
        Levels with anchors; one may be twice the coarsest of `strides`.
    anchor_sizes : tuple of float, or of tuples
        For each of these levels, in pixels; see :func:`helpers.maskrcnn.anchors.suggest_sizes`.
    anchor_ratios : tuple of float
        Height over width.
    anchor_positive, anchor_negative : float
        IoU limits of :func:`helpers.maskrcnn.targets.assign_anchors`.
    anchor_samples : int
        Anchors of each image that count in a training step (at most half of them positive).
    proposal_nms : float
        IoU above which the worse of two proposals goes.
    train_candidates, train_proposals : int
        Best anchors before and after that, in training.
    candidates, proposals : int
        The same in prediction. A nucleus has some 14 promising anchors; a warning tells when
        there are more of them than candidates.
    rois, roi_share, roi_positive : int, float, float
        Regions drawn in training, the largest share of positive ones, and their least IoU.
    roi_samples : int
        Points read along each side of a part, see :func:`helpers.maskrcnn.roi_align.roi_align`.
    box_size, box_units : int
        Grid of the box head, and units of its two dense layers (published: 7 and 1024).
    mask_size, mask_layers, mask_filters : int
        Grid of the mask head, its convolutions and their channels (published: 14, 4, 256). The
        mask has twice as many rows and columns.
    max_detections : int
        Most objects that can be found in one window. A warning tells when all are used.
    score, detection_nms : float
        Detections below this score are dropped; of two that overlap more than this IoU the
        worse one goes. Later steps can be stricter, not milder.

    Raises
    ------
    ValueError
        If numbers do not fit each other.
    """

    n_channels: int = 1
    n_classes: int = 1
    backbone: str = "small"
    filters: int = 24
    memory: float = 0.9
    pyramid_filters: int = 48
    strides: tuple[int, ...] = (2, 4, 8, 16)
    anchor_strides: tuple[int, ...] = (4, 8, 16)
    anchor_sizes: tuple = (16, 32, 64)
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    anchor_positive: float = 0.5
    anchor_negative: float = 0.3
    anchor_samples: int = 128
    proposal_nms: float = 0.7
    train_candidates: int = 300
    train_proposals: int = 100
    candidates: int = 1000
    proposals: int = 400
    rois: int = 64
    roi_share: float = 0.33
    roi_positive: float = 0.5
    roi_samples: int = 1
    box_size: int = 7
    box_units: int = 256
    mask_size: int = 14
    mask_layers: int = 2
    mask_filters: int = 48
    max_detections: int = 120
    score: float = 0.1
    detection_nms: float = 0.5

    def __post_init__(self):
        """Turn lists, as JSON gives them, into tuples, and check the numbers."""
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), list):
                tuples = tuple(tuple(v) if isinstance(v, list) else v for v in value)
                object.__setattr__(self, field.name, tuples)
        self._check_levels()
        counts = ("n_channels", "n_classes", "rois", "max_detections", "proposals")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1")
        if self.proposals < self.max_detections:
            raise ValueError(
                f"proposals is {self.proposals}, less than max_detections, {self.max_detections}: "
                "give more, best some for each object"
            )
        if not 0 <= self.anchor_negative <= self.anchor_positive <= 1:
            raise ValueError(
                f"anchor_negative is {self.anchor_negative} and anchor_positive "
                f"{self.anchor_positive}: give 0 <= anchor_negative <= anchor_positive <= 1"
            )

    def _check_levels(self) -> None:
        doubling = all(b == 2 * a for a, b in zip(self.strides, self.strides[1:], strict=False))
        allowed = (*self.strides, 2 * self.strides[-1])
        if self.strides[0] not in (2, 4) or not doubling:
            raise ValueError(f"strides is {self.strides}: begin with 2 or 4, then double")
        if not set(self.anchor_strides) <= set(allowed):
            raise ValueError(f"anchor_strides is {self.anchor_strides}: choose from {allowed}")
        if len(self.anchor_sizes) != len(self.anchor_strides):
            raise ValueError(
                f"anchor_sizes is {self.anchor_sizes} for the strides {self.anchor_strides}: give "
                "one entry for each"
            )

    @property
    def divisor(self) -> int:
        """Sides of the images must be multiples of this."""
        return max(*self.strides, *self.anchor_strides)

    def to_dict(self) -> dict:
        """Return all numbers, ready for JSON; ``Settings(**numbers)`` makes the same again."""
        return asdict(self)


PUBLISHED = Settings(
    backbone="resnet50",
    memory=0.99,
    pyramid_filters=256,
    strides=(4, 8, 16, 32),
    anchor_strides=(4, 8, 16, 32, 64),
    anchor_sizes=(8, 16, 32, 64, 128),
    anchor_positive=0.7,
    anchor_samples=256,
    train_candidates=6000,
    train_proposals=2000,
    candidates=6000,
    proposals=2000,
    rois=200,
    roi_samples=2,
    box_units=1024,
    mask_layers=4,
    mask_filters=256,
    max_detections=200,
    score=0.7,
    detection_nms=0.3,
)
"""Zaki et al. 2020, with ResNet50 in place of ResNet101. Grey images are tripled inside."""
