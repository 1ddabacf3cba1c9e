"""Changes of image and labels together, so that a network sees more than the data show.

    basic                 flips, turns, zoom, brightness
    sampling              patches where there is something to see
    pipelines             imgaug: the published pipeline and a mild one, by a `recipe`
    with_imgaug, patches  what these consist of
    em, bend              faults of electron microscopes; smooth bending, in 2D and 3D
    afm                   what a scanner could have done to a height map

What `__all__` lists can be imported from here.
"""

from helpers.augment.basic import flip_and_turn, vary_intensity, zoom_and_rotate
from helpers.augment.em import augment_em

__all__ = [
    "augment_em",
    "flip_and_turn",
    "vary_intensity",
    "zoom_and_rotate",
]
