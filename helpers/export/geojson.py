"""Objects as GeoJSON, which QuPath opens: drag the file onto the image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from helpers.export.rois import trace_pieces
from helpers.storage import to_json, write_whole

__all__ = ["write_geojson"]


def write_geojson(
    path: str | Path,
    labels: np.ndarray,
    *,
    measurements=None,
    object_type: str = "detection",
    class_name: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the outlines of all objects, with holes, as GeoJSON for QuPath.

    Parameters
    ----------
    path : path
        File to write, ending in ``.geojson``.
    labels : ndarray of int, YX or ZYX
        Label image. Of a volume, each slice of an object becomes a feature in that slice.
    measurements : pandas.DataFrame, optional
        Of `helpers.export.table.measure_labels`; its numbers become QuPath's measurements.
    object_type : {"detection", "annotation", "cell"}
        What QuPath makes of them; detections are fast, annotations can be edited.
    class_name : str, optional
        Classification of all objects.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If the file exists and `overwrite` is False, has another ending, or `labels` is no label
        image.

    Notes
    -----
    Coordinates are pixels, x before y, with pixel (0, 0) from 0 to 1 (RFC 7946 for the form;
    ``objectType``, ``name``, ``measurements`` and ``plane`` as QuPath reads them). Objects in
    several pieces become a MultiPolygon. An image without objects gives an empty collection.
    """
    path, labels = Path(path), np.asarray(labels)
    if path.suffix != ".geojson":
        raise ValueError(f"path is {path.name}: end the name in .geojson")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists already: choose another name, or give overwrite=True")
    if object_type not in ("detection", "annotation", "cell"):
        raise ValueError(
            f"object_type is {object_type!r}: give 'detection', 'annotation' or 'cell'"
        )
    shared = {"objectType": object_type}
    if class_name:
        shared["classification"] = {"name": class_name}
    numbers = _numbers(measurements)
    planes = enumerate(labels) if labels.ndim == 3 else [(None, labels)]
    features = [
        _feature(number, pieces, z, {**shared, "measurements": numbers.get(number, {})})
        for z, plane in planes
        for number, pieces in trace_pieces(plane).items()
    ]
    with write_whole(path) as part:
        part.write_text(
            json.dumps(json.loads(to_json({"type": "FeatureCollection", "features": features}))),
            encoding="utf-8",
        )
    return path


def _feature(number: int, pieces, z: int | None, properties: dict) -> dict:
    polygons = [[_ring(outer), *map(_ring, holes)] for outer, holes in pieces]
    one = len(polygons) == 1
    geometry = {
        "type": "Polygon" if one else "MultiPolygon",
        "coordinates": polygons[0] if one else polygons,
    }
    if z is not None:
        geometry["plane"] = {"c": -1, "z": z, "t": 0}
    return {
        "type": "Feature",
        "geometry": geometry,
        "properties": {"name": str(number), **properties},
    }


def _ring(points: np.ndarray) -> list:
    return np.round(points, 2).tolist()


def _numbers(table) -> dict[int, dict]:
    if table is None:
        return {}
    columns = [c for c in table.columns if c not in ("image", "label") and table[c].dtype != object]
    rows = table.set_index("label")[columns].to_dict("index")
    return {
        int(number): {k: float(v) for k, v in row.items() if np.isfinite(v)}
        for number, row in rows.items()
    }
