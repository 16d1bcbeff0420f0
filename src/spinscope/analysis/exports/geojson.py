"""Objects as GeoJSON, with the classification and measurements that QuPath reads."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import numpy as np

from spinscope.analysis.exports.contours import Contour, contours
from spinscope.analysis.exports.frames import Frames
from spinscope.analysis.shapes import measure
from spinscope.analysis.tables import rounded
from spinscope.analysis.units import with_units
from spinscope.classes import COLOURS


def write_geojson(target: Path, frames: Frames) -> None:
    """Write a FeatureCollection with one feature per object.

    Coordinates are pixel corners (x, y). A feature has the class of its object, its quantities as
    measurements and its frame as time point (`plane`, in the geometry, from 0). Parts of an object
    that meet only in a corner are polygons of a MultiPolygon, as the format requires.

    References
    ----------
    RFC 7946; QuPath 0.5, *File › Object data › Export as GeoJSON*.
    """
    n = 0
    with target.open("w") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for index, image, mask in frames:
            plane = {"c": -1, "z": 0, "t": index}
            for class_, name, numbers, _ in frames.objects(mask):
                quantities = with_units(
                    measure(mask == class_, image, min_px=frames.min_px), frames.pixel_size
                )
                columns = {key: np.asarray(values, float) for key, values in quantities.items()}
                for contour in contours(numbers):
                    k = contour.number - 1
                    title = f"{frames.names(index)}-{contour.number:04d}-{name}"
                    feature = {
                        "type": "Feature",
                        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, title)),
                        "geometry": {**_geometry(contour, numbers), "plane": plane},
                        "properties": {
                            "objectType": "detection",
                            "name": title,
                            "classification": {"name": name, "color": COLOURS[class_].tolist()},
                            "measurements": {
                                key: rounded(float(values[k]))
                                for key, values in columns.items()
                                if np.isfinite(values[k])
                            },
                        },
                    }
                    file.write((",\n" if n else "\n") + json.dumps(feature))
                    n += 1
        file.write("\n]}\n")


def _geometry(contour: Contour, numbers: np.ndarray) -> dict:
    """Polygon of an object, or MultiPolygon of its 4-connected parts."""
    corners = np.concatenate([contour.outer, *contour.holes])
    if len(np.unique(corners, axis=0)) == len(corners):
        return {"type": "Polygon", "coordinates": _closed(contour, (0, 0))}
    from scipy.ndimage import label

    (y0, x0), (y1, x1) = contour.outer.min(axis=0), contour.outer.max(axis=0)
    parts, count = label(numbers[y0:y1, x0:x1] == contour.number)
    polygons = [
        _closed(part, (y0, x0))
        for k in range(1, count + 1)
        for part in contours((parts == k).astype(np.int32))
    ]
    if count == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _closed(contour: Contour, corner: tuple[int, int]) -> list[list[list[int]]]:
    """Rings (x, y) whose first point is repeated at the end, the outer one first."""
    rings = [ring + np.asarray(corner) for ring in (contour.outer, *contour.holes)]
    return [np.vstack([ring, ring[:1]])[:, ::-1].tolist() for ring in rings]
