"""Training settings of the published baselines: as published (0), and improved (1).

Facts to train by, for the notebook's table; nothing here is needed to build a network.
Version 1 is that of Franco-Barranco et al. 2022.
"""

from __future__ import annotations

import copy
from typing import Any

__all__ = ["PUBLISHED_SETTINGS", "published_settings"]

_CASSER = {
    "ndim": 2,
    "patch": (512, 512),
    "batch_size": 4,
    "optimizer": "adam",
    "learning_rate": 5e-4,
    "epochs": 360,
    "patience": 200,
    "loss": "binary cross-entropy",
    "augment": "flips, rotation",
    "foreground_sampling": False,
    "repeats": 1,
    "post": "median over 9 planes, z only",
}
_CHENG_2D = {
    "ndim": 2,
    "patch": (256, 256),
    "batch_size": 24,
    "optimizer": "sgd, momentum .9",
    "learning_rate": 0.05,
    "schedule": "times .1 at epochs 2000 and 3000",
    "epochs": 4000,
    "loss": "soft Jaccard of the foreground",
    "augment": "flips",
    "foreground_sampling": True,
    "repeats": 1,
    "options": {"dropout": 0.1},
}
_CHENG_3D = {
    "ndim": 3,
    "patch": (96, 128, 128),
    "batch_size": 3,
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "schedule": "times .1 at epochs 272 and 408",
    "epochs": 545,
    "loss": "soft Jaccard of the foreground",
    "augment": "quarter turns in the plane",
    "repeats": 1,
    "options": {"dropout": 0.1},
}
_XIAO = {
    "ndim": 3,
    "patch": (20, 256, 256),
    "batch_size": 2,
    "optimizer": "adam",
    "learning_rate": 1e-4,
    "epochs": 30,
    "loss": "cross-entropy",
    "loss_weights": {"main": 1.0, "aux_1": 0.15, "aux_2": 0.3},
    "augment": "flips, quarter turns",
    "repeats": 75,
}
_OZTEL = {
    "ndim": 2,
    "patch": (32, 32),
    "batch_size": 128,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "epochs": 45,
    "patience": 25,
    "loss": "cross-entropy",
    "augment": "flips, rotation by up to 180 degrees, shear .2 degrees, shift .2",
    "repeats_foreground": 20,
    "post": "refine_slices",
    "options": {"version": 0},
}
_IMPROVED_CHENG = {"optimizer": "adam", "learning_rate": 1e-4, "schedule": None}

PUBLISHED_SETTINGS: dict[tuple[str, int], tuple[dict[str, Any], dict[str, Any]]] = {
    ("casser2018", 2): (_CASSER, {"foreground_sampling": True, "repeats": 2}),
    ("cheng2017", 2): (
        _CHENG_2D,
        {
            **_IMPROVED_CHENG,
            "epochs": 400,
            "repeats": 12,
            "augment": "flips, rotation by up to 180 degrees",
            "options": {"dropout": 0.0},
        },
    ),
    ("cheng2017", 3): (_CHENG_3D, {**_IMPROVED_CHENG, "epochs": 250, "patience": 30}),
    ("xiao2018", 3): (_XIAO, {"augment": "flips, quarter turns, elastic"}),
    ("oztel2017", 2): (_OZTEL, {"options": {"version": 1}}),
}


def published_settings(architecture: str, *, version: int = 1, ndim: int = 2) -> dict[str, Any]:
    """Return the training settings of a published baseline.

    Parameters
    ----------
    architecture : str
        ``"casser2018"``, ``"cheng2017"``, ``"xiao2018"`` or ``"oztel2017"``.
    version : {0, 1}
        0 as published, 1 improved.
    ndim : {2, 3}
        Dimensions.

    Returns
    -------
    dict
        Patch in pixels (ZYX or YX), batch size, optimizer, learning rate, epochs and more;
        ``options`` are those of :func:`helpers.unets.build_unet`.

    Raises
    ------
    ValueError
        If there are no such settings.

    Examples
    --------
    >>> published_settings("casser2018", version=0)["learning_rate"]
    0.0005
    """
    if (architecture, ndim) not in PUBLISHED_SETTINGS or version not in (0, 1):
        known = ", ".join(f"{name} in {n}D" for name, n in PUBLISHED_SETTINGS)
        raise ValueError(
            f"no settings for {architecture!r} in {ndim}D, version {version}: there are those of "
            f"{known}, each in version 0 and 1."
        )
    published, changes = PUBLISHED_SETTINGS[architecture, ndim]
    return copy.deepcopy({"options": {}, **published, **(changes if version else {})})
