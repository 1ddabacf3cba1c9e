"""Mask R-CNN: from images to boxes, classes and masks, and how it learns."""

from __future__ import annotations

import keras
from keras import ops

from helpers.maskrcnn import losses, network
from helpers.maskrcnn.anchors import make_anchors
from helpers.maskrcnn.proposals import detect_objects, propose_regions
from helpers.maskrcnn.roi_align import read_labels, roi_align
from helpers.maskrcnn.settings import Settings
from helpers.maskrcnn.targets import assign_anchors, draw_among, n_positive, sample_rois

__all__ = ["LOSSES", "MaskRCNN"]

LOSSES = ("rpn_class", "rpn_box", "class", "box", "mask")
"""The parts of the loss, by their names in the history."""


@keras.saving.register_keras_serializable("microseg")
class MaskRCNN(keras.Model):
    """Find objects in boxes, then draw each one.

    Parameters
    ----------
    settings : Settings, optional
        All numbers.
    encoder_weights : {None, "imagenet"} or path
        First weights of an encoder of ``keras.applications``.
    seed : int
        Of the samples drawn in training.
    **options
        Those of ``keras.Model``.

    Notes
    -----
    He et al. 2017. ``model(images)``, images (N, Y, X, C) in 0 to 1 with sides that are
    multiples of ``settings.divisor``, gives a dict of static shapes with D rows for each image:
    ``boxes`` (N, D, 4), ``scores`` (N, D; 0 where a row holds no object), ``classes`` (N, D)
    and ``masks`` (N, D, S, S), probabilities inside of each box; and ``missed`` (N,), how many
    anchors of more than one half went beyond ``settings.candidates``. With ``training=True``
    it gives what :meth:`compute_loss` needs.
    """

    def __init__(self, settings=None, *, encoder_weights=None, seed=0, **options):
        super().__init__(**options)
        self.settings = settings or Settings()
        self.seed = seed
        self.backbone = network.build_backbone(self.settings, encoder_weights)
        channels = [x.shape[-1] for x in self.backbone.outputs]
        self.pyramid = network.build_pyramid(self.settings, channels)
        self.proposal_head = network.build_proposal_head(self.settings)
        self.box_head = network.build_box_head(self.settings)
        self.mask_head = network.build_mask_head(self.settings)
        self.random = keras.random.SeedGenerator(seed)
        self.parts = [keras.metrics.Mean(name=name) for name in LOSSES]
        self.built = True  # all parts are

    def call(self, images, training=False):
        """Return detections, or in training the pyramid and what is said of the anchors."""
        outputs = self.look(images, training=training)
        return outputs if training else self.detect(outputs)

    def look(self, images, training=False):
        """Return the pyramid, all anchors, and the network's logits and codes for them."""
        levels = self.pyramid(self.backbone(images, training=training), training=training)
        levels = list(levels) if isinstance(levels, (list, tuple)) else [levels]
        rated = self._levels_with_anchors(levels)
        logits, codes = zip(*[self.proposal_head(level) for level in rated], strict=True)
        shapes = [ops.shape(level)[1:3] for level in rated]
        s = self.settings
        return {
            "levels": levels,
            "logits": _join(logits, 1)[..., 0],
            "codes": _join(codes, 4),
            "anchors": make_anchors(shapes, s.anchor_strides, s.anchor_sizes, s.anchor_ratios),
        }

    def _levels_with_anchors(self, levels):
        by_stride = dict(zip(self.settings.strides, levels, strict=True))
        # one level more by leaving out every second pixel, as in Lin et al. 2017
        by_stride[2 * self.settings.strides[-1]] = levels[-1][:, ::2, ::2]
        return [by_stride[stride] for stride in self.settings.anchor_strides]

    def _shape(self, outputs):
        stride = self.settings.strides[0]
        return [n * stride for n in ops.shape(outputs["levels"][0])[1:3]]

    def propose(self, outputs, *, training=False):
        """Return proposals, (N, P, 4), of the outputs of :meth:`look`."""
        s = self.settings
        return propose_regions(
            outputs["logits"],
            outputs["codes"],
            outputs["anchors"],
            self._shape(outputs),
            candidates=s.train_candidates if training else s.candidates,
            count=s.train_proposals if training else s.proposals,
            nms=s.proposal_nms,
        )

    def _read(self, outputs, boxes, size: int):
        """Return features of boxes as one batch of regions."""
        s = self.settings
        found = roi_align(outputs["levels"], boxes, s.strides, size, samples=s.roi_samples)
        return ops.reshape(found, (-1, size, size, s.pyramid_filters))

    def name_boxes(self, outputs, boxes):
        """Return class logits (N, R, K + 1) and box codes (N, R, K, 4) of regions."""
        n_rois, s = boxes.shape[1], self.settings
        logits, codes = self.box_head(self._read(outputs, boxes, s.box_size))
        logits = ops.reshape(logits, (-1, n_rois, s.n_classes + 1))
        return logits, ops.reshape(codes, (-1, n_rois, s.n_classes, 4))

    def draw_masks(self, outputs, boxes, classes):
        """Return mask logits (N, R, S, S) of regions, each of its class (1 to K)."""
        n_rois, s = boxes.shape[1], self.settings
        logits = self.mask_head(self._read(outputs, boxes, s.mask_size))
        side = 2 * s.mask_size
        logits = ops.reshape(logits, (-1, n_rois, side, side, s.n_classes))
        place = ops.maximum(classes - 1, 0)[..., None, None, None]
        place = ops.broadcast_to(place, (*ops.shape(logits)[:-1], 1))
        return ops.take_along_axis(logits, place, axis=-1)[..., 0]

    def detect(self, outputs):
        """Return detections of the outputs of :meth:`look`."""
        s, regions = self.settings, self.propose(outputs)
        logits, codes = self.name_boxes(outputs, regions)
        boxes, scores, classes = detect_objects(
            regions,
            logits,
            codes,
            self._shape(outputs),
            count=s.max_detections,
            score=s.score,
            nms=s.detection_nms,
        )
        masks = ops.sigmoid(self.draw_masks(outputs, boxes, classes))
        promising = ops.sum(ops.cast(outputs["logits"] > 0, "float32"), -1)
        missed = ops.maximum(promising - s.candidates, 0.0)
        found = {"boxes": boxes, "scores": scores, "classes": classes, "masks": masks}
        return {**found, "missed": missed}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the sum of the five losses.

        Parameters
        ----------
        x : tensor
            Images.
        y : dict of tensor
            ``boxes`` (N, M, 4), ``classes`` (N, M; 0 for empty rows) and ``labels`` (N, Y, X),
            where the object of row k has the label k + 1; see
            :func:`helpers.maskrcnn.batches.object_table`.
        y_pred : dict
            Of ``model(x, training=True)``.
        sample_weight, training
            Not used.

        Returns
        -------
        tensor of float
            Each part has the weight 1, as in the paper.
        """
        boxes, classes = ops.cast(y["boxes"], "float32"), ops.cast(y["classes"], "int32")
        parts = [*self._proposal_losses(y_pred, boxes, classes)]
        parts += self._head_losses(y_pred, boxes, classes, ops.cast(y["labels"], "int32"))
        for mean, value in zip(self.parts, parts, strict=True):
            mean.update_state(value)
        return sum(parts)

    def _proposal_losses(self, outputs, boxes, classes):
        s, logits = self.settings, outputs["logits"]
        options = dict(positive=s.anchor_positive, negative=s.anchor_negative)
        truth = assign_anchors(outputs["anchors"], boxes, classes, **options)
        random = keras.random.uniform(ops.shape(logits), seed=self.random)
        half = s.anchor_samples // 2
        positive = draw_among(truth.positive, random, half, half)
        n_drawn = ops.sum(ops.cast(positive, "int32"), -1)
        negative = draw_among(truth.negative, random, s.anchor_samples - n_drawn, s.anchor_samples)
        targets = ops.cast(positive, "float32")
        weights = targets + ops.cast(negative, "float32")
        rating = losses.weighted_mean(losses.binary_loss(logits, targets), weights)
        return rating, losses.box_loss(truth.codes, outputs["codes"], targets)

    def _head_losses(self, outputs, boxes, classes, labels):
        s = self.settings
        regions = ops.concatenate([self.propose(outputs, training=True), boxes], 1)
        random = keras.random.uniform(ops.shape(regions)[:2], seed=self.random)
        options = dict(n_rois=s.rois, positive_share=s.roi_share, threshold=s.roi_positive)
        truth = sample_rois(regions, boxes, classes, random, **options)
        logits, codes = self.name_boxes(outputs, truth.boxes)
        place = ops.maximum(truth.classes - 1, 0)[..., None, None]
        place = ops.broadcast_to(place, (*ops.shape(codes)[:2], 1, 4))
        codes = ops.take_along_axis(codes, place, axis=2)[:, :, 0]
        learn = ops.cast(truth.classes > 0, "float32")
        first = slice(None, n_positive(s.rois, s.roi_share))  # regions on objects are in front
        box, kind, learned = truth.boxes[:, first], truth.classes[:, first], learn[:, first]
        masks = self.draw_masks(outputs, box, kind)
        true = read_labels(labels, truth.objects[:, first] + 1, box, 2 * s.mask_size)
        return (
            losses.class_loss(truth.classes, logits, truth.weights),
            losses.box_loss(truth.codes, codes, learn),
            losses.mask_loss(true, masks, learned),
        )

    def get_config(self):
        """Return what makes an equal network, without its weights."""
        return {"settings": self.settings.to_dict(), "seed": self.seed, "name": self.name}

    @classmethod
    def from_config(cls, config):
        """Make the network that :meth:`get_config` describes."""
        return cls(Settings(**config.pop("settings")), **config)


def _join(parts, channels: int):
    """Return outputs of all levels, NYX(A channels) each, as (N, all anchors, channels)."""
    flat = [ops.reshape(x, (ops.shape(x)[0], -1, channels)) for x in parts]
    return ops.concatenate(flat, 1)
