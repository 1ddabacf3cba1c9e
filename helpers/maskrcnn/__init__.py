"""Mask R-CNN in Keras 3: find objects in boxes, then draw each one.

Anchors are boxes at every place; a network rates and moves them (proposals). RoIAlign reads
features inside each proposal, from which one head names its class and mends its box, and
another draws its mask. Everything has static shapes and uses ``keras.ops`` alone, so it runs on
every Keras backend. To be read beside He et al. 2017:

    boxes, anchors       the geometry of boxes                       (Ren et al. 2015, section 3)
    network              backbone, feature pyramid, heads            (section 3, figure 4)
    targets, losses      what anchors and regions learn              (section 3)
    proposals, roi_align from anchors to regions and their features  (section 3, figure 3)
    model                all of these together: :class:`MaskRCNN`

    model = MaskRCNN(Settings(anchor_sizes=suggest_sizes(labels)))
    batches = detection_batches(patches, batch_size=2)
    train_stages(model, batches, folder=run.folder, stages=[Stage(10, 1e-3)], ...)
    found = find_objects(model, image)                  any size, in overlapping tiles
    detections_to_labels(found, image.shape, tune_rule(...))
"""

from helpers.maskrcnn.anchors import anchor_reach, make_anchors, measure_boxes, suggest_sizes
from helpers.maskrcnn.batches import detection_batches, object_table
from helpers.maskrcnn.detections import Detections, describe_labels, paste_labels
from helpers.maskrcnn.inference import (
    DetectionRule,
    change_caps,
    detections_to_labels,
    find_objects,
    segment_image,
)
from helpers.maskrcnn.kinds import found_by_kind
from helpers.maskrcnn.merging import merge_by_shared_pixels, merge_detections, tile_layers
from helpers.maskrcnn.model import MaskRCNN
from helpers.maskrcnn.schedule import PUBLISHED_STAGES, Stage, train_stages
from helpers.maskrcnn.settings import PUBLISHED, Settings
from helpers.maskrcnn.validation import DetectionAP, tune_rule

__all__ = [
    "PUBLISHED",
    "PUBLISHED_STAGES",
    "DetectionAP",
    "DetectionRule",
    "Detections",
    "MaskRCNN",
    "Settings",
    "Stage",
    "anchor_reach",
    "change_caps",
    "describe_labels",
    "detection_batches",
    "detections_to_labels",
    "find_objects",
    "found_by_kind",
    "make_anchors",
    "measure_boxes",
    "merge_by_shared_pixels",
    "merge_detections",
    "object_table",
    "paste_labels",
    "segment_image",
    "suggest_sizes",
    "tile_layers",
    "train_stages",
    "tune_rule",
]
