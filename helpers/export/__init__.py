"""Label images for other programs.

    rois                            ImageJ and Fiji
    geojson                         QuPath
    table                           size, shape and intensity of every object
    folder                          all of these for a folder of label images
    zoo, zoo_networks, zoo_scaling  models as packages of the BioImage Model Zoo

What `__all__` lists can be imported from here.
"""

from helpers.export.rois import outline_objects, trace_pieces, write_imagej_rois

__all__ = [
    "outline_objects",
    "trace_pieces",
    "write_imagej_rois",
]
