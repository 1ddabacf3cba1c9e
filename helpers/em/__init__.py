"""Masks of organelles in volumes of electron microscopy, slice by slice or in 3D.

    stacks                      large stacks and folders of slices
    training                    train a network and predict volumes with it
    published                   how the published baselines were trained
    coarse                      a network at a lower resolution than its images
    mask_volume                 probabilities to masks and objects, filters along z
    baseline, pixel_classifier  the untrained and the quickly trained rival

Import from these modules.
"""
