"""Annotations of other programs to label images, and back.

``read_supervisely``, ``read_coco`` and ``read_labelme`` each return a list of
:class:`AnnotatedImage`, whose ``labels`` fit :func:`helpers.images.write_labels`;
``read_geojson`` (QuPath) and ``read_imagej_rois`` (ImageJ, Fiji) return one, of the image whose
size they are given. ``write_supervisely`` makes a project that Supervisely imports.
"""

from helpers.annotations.coco import decode_rle, read_coco
from helpers.annotations.labelme import read_labelme
from helpers.annotations.outlines import read_geojson, read_imagej_rois
from helpers.annotations.shapes import OVERLAPS, AnnotatedImage
from helpers.annotations.supervisely import read_supervisely
from helpers.annotations.supervisely_export import write_supervisely

__all__ = [
    "OVERLAPS",
    "AnnotatedImage",
    "decode_rle",
    "read_coco",
    "read_geojson",
    "read_imagej_rois",
    "read_labelme",
    "read_supervisely",
    "write_supervisely",
]
