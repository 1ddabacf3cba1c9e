"""The data doctor: what is wrong with a data folder, in plain words, before anyone trains.

    folder        the table of findings of a data set
    image_checks  what is looked for in one image and its mask
    twins         copies of an image in two splits
    scans         scans that share area in two splits
    findings      the rows of the table
    repair        what the mends name: each returns a new array

What `__all__` lists can be imported from here.
"""

from helpers.doctor.folder import check_dataset, require_healthy

__all__ = [
    "check_dataset",
    "require_healthy",
]
