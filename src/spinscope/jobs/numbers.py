"""Numbers of a recording in which a field, a temperature or a pulse was changed.

`numbers_of` takes a results folder of ``segment`` or a recording of ``intake`` (``NAME.tif`` with
``NAME.csv``) and writes, into the results folder or into ``NAME.numbers``, those of these files for
which there are data. All CSV files have a header; lengths are in µm where the pixel size is known,
otherwise in px (``LENGTH`` is ``um`` or ``px``), times in s, otherwise in frames (``TIME`` is ``s``
or ``frame``; pulsed: seconds of pulse). ``FIELD`` is ``field_mt``, or ``pulse_mt`` where pulses are
given. ``_se``, ``_sd`` and ``_sd_statistical`` are statistical standard deviations (value ± 1.645
sd is a 90 % interval), ``_sd_boundary`` the systematic one of where the boundary is drawn.

loop.csv       ``region`` (``frame`` is the whole), ``frame``, ``field_mt``, ``branch`` (-1 falling,
               1 rising), ``signal``, ``m`` (normalised to ±1)
walls.csv      one row per step of constant field: ``FIELD``, ``in_plane_field_mt``,
               ``temperature_k`` (those known), ``first_frame``, ``last_frame``, ``frames``,
               ``velocity_LENGTH_per_TIME``, ``left_…``, ``right_…``, each with ``_sd``
ellipses.csv   one row per frame with a bubble: ``frame``, ``y_px``, ``x_px``, ``radius_px``,
               ``major_px``, ``minor_px``, ``orientation_deg``, ``left_px``, ``right_px``,
               ``touches_border``, applied columns
stripes.csv    one row per frame with stripes: ``frame``, applied columns, ``width_LENGTH_mean``
               with ``_sd`` and ``_sd_boundary``, ``width_LENGTH_sd`` (of the distribution),
               ``width_LENGTH_q05``, ``_q50``, ``_q95``, ``period_LENGTH``, ``chords``
events.csv     ``frame``, ``event`` (``nucleation``, ``annihilation``), ``track``, ``y_px``,
               ``x_px``, applied columns (mean of the frame and the one before), each with ``_sd``
against.csv    one row per value and quantity: ``swept`` (an applied column), ``value``,
               ``direction`` (1 reached from below, -1 from above, 0 unknown), ``frames``,
               ``quantity`` (``density``, ``diameter``, ``psi6``, ``diffusion``), ``unit``,
               ``mean``, ``sd_statistical``, ``sd_boundary``
diagram.csv    two applied columns under their own names, ``frames``, ``density_px2``,
               ``density_um2``, ``psi6`` with their ``_se``, and ``state``
numbers.json   ``lineage``: ``source``, ``data`` (hash), ``model``, ``version``, ``recipe``;
               ``n_frames``; ``figures``: name → ``value``, ``unit``, ``sd_statistical``,
               ``sd_boundary``, ``n_frames``; null where unknown; ``notes``: sentences on what could
               not be measured; ``files``

Figures: ``coercive_field``, ``bias_field``, ``remanence``, ``coercive_field_down`` … (of a region:
``NAME.coercive_field``); ``creep_ln_v0``, ``creep_alpha``, ``creep_free_exponent``, ``dmi_field``;
``stripe_width``, ``stripe_period``; ``nucleation_field`` …; ``diffusion``.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.errors import SpinscopeError

if TYPE_CHECKING:
    import pandas as pd

    from spinscope.config import Measure
    from spinscope.recordings import Recording

FILES = ("loop", "walls", "ellipses", "stripes", "events", "against", "diagram")
"""Tables, in the order in which they are made."""
FIGURES = "numbers.json"

_MASK_SAMPLES = 12  # frames from which the grey levels are read
_ROUGH = 0.15  # of the convex hull that domains do not fill, above which they are no bubbles
_FEW_DOMAINS = 2  # domains of a frame with an expanding bubble
_NOT_SWEPT = ("time_s", "pulse_ns")


@dataclass
class _Source:
    """Frames of a recording with what was done to the sample."""

    name: str
    out: Path
    applied: pd.DataFrame
    n: int
    shape: tuple[int, int]
    pixel_size: float | None
    interval: float | None
    lineage: dict[str, Any]
    fractions: Any
    """Iterates over (H, W) images, 0 outside and 1 inside domains; None for an unreadable frame."""
    signals: dict[str, np.ndarray] = field(default_factory=dict)
    unreadable: list[int] = field(default_factory=list)
    objects: pd.DataFrame | None = None
    rows: pd.DataFrame | None = None
    tracks: pd.DataFrame | None = None
    notes: list[str] = field(default_factory=list)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def figure(
        self,
        name: str,
        value: float,
        unit: str,
        sd: float = math.nan,
        boundary: float = math.nan,
        n_frames: int | None = None,
    ) -> None:
        """Add a figure."""
        self.figures[name] = {
            "value": value,
            "unit": unit,
            "sd_statistical": sd,
            "sd_boundary": boundary,
            "n_frames": self.n if n_frames is None else int(n_frames),
        }

    @property
    def model(self) -> bool:
        """Whether a model has found the domains."""
        return self.lineage["model"] is not None

    @property
    def length(self) -> tuple[str, float]:
        """Unit of length, and its size per pixel."""
        return ("px", 1.0) if self.pixel_size is None else ("um", self.pixel_size * 1e6)


def numbers_of(
    folder: Path | str,
    settings: Measure | None = None,
    *,
    out: Path | str | None = None,
    background: bool = False,
) -> dict[str, Any]:
    """Measure loops, walls, stripes, events and dependences, and write them.

    Parameters
    ----------
    folder : Path or str
        Results folder of ``segment`` (tracks and lattice order after ``measure``), or the TIFF file
        of a clean recording of ``intake``.
    settings : Measure, optional
        Section `measure` of the settings, for linking.
    out : Path or str, optional
        Folder to write to; by default the results folder, or ``NAME.numbers`` beside the TIFF.
    background : bool, default False
        Whether a line through the saturated ends of a loop is subtracted.

    Returns
    -------
    dict
        Content of ``numbers.json``, and ``tables``: name → DataFrame.

    Raises
    ------
    SpinscopeError
        Where it is neither, or no condition is known.
    """
    from spinscope.analysis.tables import rounded, write_csv
    from spinscope.config import load_params
    from spinscope.files import atomic_file, provenance, write_json

    settings = settings or load_params().measure
    folder = Path(folder)
    source = _of_results(folder) if folder.is_dir() else _of_recording(folder)
    if out is not None:
        source.out = Path(out)
    applied = source.applied.dropna(axis=1, how="all")
    source.applied = applied
    if not len(set(applied.columns) - {"time_s"}):
        raise SpinscopeError(
            f"{folder}: no field, temperature or pulse is known; write them into a table beside "
            "the recording, with a column field_mt, and run this again"
        )
    _loops(source, background)
    _domains(source)
    _events(source, settings)
    _against(source)
    source.out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        path = source.out / f"{name}.csv"
        table = source.tables.get(name)
        if table is None or not len(table):
            path.unlink(missing_ok=True)
            source.tables.pop(name, None)
            continue
        columns = {k: list(v) if v.dtype == object else v.to_numpy() for k, v in table.items()}
        with atomic_file(path) as partial:
            write_csv(partial, columns)
    content = provenance() | {
        "lineage": source.lineage,
        "n_frames": source.n,
        "figures": rounded(_known(source.figures)),
        "notes": source.notes,
        "files": [f"{name}.csv" for name in source.tables],
    }
    write_json(source.out / FIGURES, content)
    return content | {"tables": source.tables}


def _known(value: Any) -> Any:
    """Value with None in place of numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: _known(one) for key, one in value.items()}
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def _of_results(folder: Path) -> _Source:
    """Results folder."""
    import pandas as pd

    from spinscope.live.results import open_results

    results = open_results(folder)
    frames = results.frames
    settings = results.summary["settings"]

    def fractions() -> Iterator[np.ndarray]:
        for mask in results.masks():
            yield (mask == 1).astype(np.float32)

    source = _Source(
        name=results.name,
        out=folder,
        applied=results.applied.reset_index(drop=True),
        n=results.n_frames,
        shape=results.shape,
        pixel_size=results.pixel_size,
        interval=results.interval,
        lineage={
            "source": results.summary["recording"]["path"],
            "data": results.summary["recording"]["fingerprint"],
            "model": settings.get("models"),
            "version": results.summary.get("spinscope_version"),
            "recipe": None,
        },
        fractions=fractions,
        signals={"frame": 1 - 2 * frames["area_fraction"].to_numpy(float)},
        objects=results.objects,
        rows=frames.copy(),
        unreadable=[one["frame"] for one in results.summary.get("unreadable", [])],
    )
    for name in ("tracks", "order"):
        path = folder / f"{name}.csv"
        if path.is_file():
            table = pd.read_csv(path)
            if name == "tracks":
                source.tracks = table
            else:
                source.rows = source.rows.merge(
                    table[["frame", "psi6_mean", "psi6_global"]], on="frame", how="left"
                )
    if source.tracks is None:
        source.notes.append(
            "no events, diffusion and order: run `spinscope measure` on this folder first"
        )
    return source


def _of_recording(path: Path) -> _Source:
    """Recording of intake, in which domains are found by half contrast."""
    import json

    import pandas as pd

    from spinscope.analysis.widths import grey_levels, reversal
    from spinscope.files import provenance
    from spinscope.intake.pipeline import RECIPE
    from spinscope.recordings import open_recording

    table_path = path.with_suffix(".csv")
    if not path.is_file() or not table_path.is_file():
        raise SpinscopeError(
            f"{path} must be a results folder of `segment`, or a TIFF of `intake` with its table "
            f"{table_path.name} beside it"
        )
    table = pd.read_csv(table_path)
    recording = open_recording(path)
    try:
        n, shape = int(recording.n or 0), tuple(recording.shape)
        applied = {k: np.asarray(v, float) for k, v in recording.applied.items()}
        own = ("drift_", "intensity", "frame")
        applied = pd.DataFrame(
            {k: v for k, v in applied.items() if not k.startswith(own)}, index=range(n)
        )
        signals = {
            name.removeprefix("intensity_").replace("intensity", "frame"): table[name].to_numpy(
                float
            )
            for name in table
            if name == "intensity" or name.startswith("intensity_")
        }

        spread, unreadable = np.full(n, np.nan), []
        for k in range(n):
            frame = _image(recording, k)
            if frame is None:
                unreadable.append(k)
            else:
                spread[k] = frame.std()
        order = np.argsort(-np.nan_to_num(spread, nan=-1), kind="stable")
        levels, notes = None, []
        frames = (_image(recording, int(k)) for k in order[:_MASK_SAMPLES])
        sample = [frame for frame in frames if frame is not None]
        try:
            levels = grey_levels(np.stack(sample), saturated=0.5)
        except SpinscopeError as error:
            notes.append(f"no domains: {error}")
        recipe = path.with_name(path.stem + RECIPE)
        made = json.loads(recipe.read_text()) if recipe.is_file() else {}
        fingerprint, pixel_size, interval = (
            recording.fingerprint, recording.pixel_size, recording.interval
        )  # fmt: skip
    finally:
        recording.close()

    def fractions() -> Iterator[np.ndarray | None]:
        again = open_recording(path)
        with contextlib.closing(again):
            for k in range(n):
                frame = _image(again, k)
                yield None if frame is None else reversal(frame, levels)

    return _Source(
        name=path.stem,
        out=path.with_name(f"{path.stem}.numbers"),
        applied=applied,
        n=n,
        shape=shape,
        pixel_size=pixel_size,
        interval=interval,
        lineage={
            "source": str(path),
            "data": fingerprint,
            "model": None,
            "version": made.get("spinscope_version", provenance()["spinscope_version"]),
            "recipe": recipe.name if made else None,
        },
        fractions=fractions if levels is not None else None,
        signals=signals,
        unreadable=unreadable,
        notes=notes,
    )


def _image(recording: Recording, index: int) -> np.ndarray | None:
    """Frame (H, W) with intensities in [0, 1], None where it cannot be read."""
    from spinscope.recordings import RecordingError, image_of

    try:
        return image_of(recording.read(index), recording.scale)
    except RecordingError:
        return None


def _loops(source: _Source, background: bool) -> None:
    """Loops of the whole frame and of its regions."""
    import pandas as pd

    from spinscope.analysis.loops import hysteresis_loop

    if "field_mt" not in source.applied:
        return
    swept = source.applied["field_mt"].to_numpy()
    tables = []
    for region, signal in source.signals.items():
        whole = region == "frame"
        try:
            loop = hysteresis_loop(swept, signal, background=background)
        except SpinscopeError as error:
            if whole:
                source.notes.append(f"no loop: {error}")
            continue
        head = "" if whole else f"{region}."
        used = int(np.isfinite(loop.m).sum())
        for name, one, unit in (
            ("coercive_field", loop.coercive, "mT"),
            ("coercive_field_down", loop.switching_down, "mT"),
            ("coercive_field_up", loop.switching_up, "mT"),
            ("bias_field", loop.bias, "mT"),
            ("remanence", loop.remanence, "1"),
        ):
            source.figure(head + name, one.value, unit, one.se, n_frames=used)
        columns = {
            "region": region,
            "frame": np.arange(source.n),
            "field_mt": swept,
            "branch": loop.direction,
            "signal": signal,
            "m": loop.m,
        }
        tables.append(pd.DataFrame(columns))
    if tables:
        source.tables["loop"] = pd.concat(tables, ignore_index=True)


def _domains(source: _Source) -> None:
    """Walls of bubbles and widths of stripes, from one pass through the frames."""
    import pandas as pd

    from spinscope.analysis import measure
    from spinscope.analysis.walls import bubble, bubble_mask
    from spinscope.analysis.widths import domain_row, half_contrast, stripe_figures

    if source.fractions is None:
        return
    before, ellipses, stripes, objects, rows = None, [], [], [], []
    smooth = not source.model
    for k, fraction in enumerate(source.fractions()):
        if fraction is None:
            before = None
            continue
        mask = half_contrast(fraction)
        found = measure(mask)
        row = domain_row(fraction, mask, found["diameter_px"])
        rows.append({"frame": k} | row)
        if not row["objects"]:
            before = None
            continue
        objects.append(pd.DataFrame(found).assign(frame=k, object=np.arange(row["objects"]) + 1))
        if (
            row["objects"] <= _FEW_DOMAINS
            and (ellipse := bubble(mask, before, fraction if smooth else None)) is not None
        ):
            ellipses.append({"frame": k} | ellipse)
            before = bubble_mask(mask, before)
        else:
            before = None
        if (figures := stripe_figures(fraction, mask, found["area_px"])) is not None:
            stripes.append({"frame": k} | figures)
    if source.objects is None and objects:
        source.objects = pd.concat(objects, ignore_index=True)
    if source.rows is None:
        source.rows = pd.DataFrame(rows)
    if ellipses and "loop" not in source.tables:  # a film that reverses has no single bubble
        _walls(source, pd.DataFrame(ellipses))
    if stripes:
        _stripes(source, pd.DataFrame(stripes))


def _walls(source: _Source, ellipses: pd.DataFrame) -> None:
    """Velocities, creep law and field of the DMI."""
    from spinscope.analysis.walls import creep_fit, dmi_field, steps_of, velocity_table

    applied = source.applied
    pulsed = "pulse_ns" in applied and "pulse_mt" in applied
    driving = "pulse_mt" if pulsed else "field_mt"
    if driving not in applied:
        return
    rows = ellipses.set_index("frame").reindex(range(source.n))
    area = rows["radius_px"].to_numpy() ** 2
    area[rows["touches_border"].fillna(True).to_numpy(dtype=bool)] = np.nan
    columns = [c for c in (driving, "in_plane_field_mt", "temperature_k") if c in applied]
    keys = [applied[c].to_numpy() for c in columns]
    steps = [s for s in steps_of(keys, area, pulsed=pulsed) if keys[0][s[-1]] != 0]
    if pulsed:
        time, unit = np.cumsum(np.nan_to_num(applied["pulse_ns"].to_numpy())) * 1e-9, "s"
    elif "time_s" in applied and applied["time_s"].notna().all():
        time, unit = applied["time_s"].to_numpy(), "s"
    elif source.interval is not None:
        time, unit = np.arange(source.n) * source.interval, "s"
    else:
        time, unit = np.arange(source.n, dtype=float), "frame"
    if not steps:
        return
    length, scale = source.length
    table = velocity_table(rows.reset_index(), time, steps)
    if not (table["velocity"] > 3 * table["velocity_sd"]).any():
        source.notes.append("no wall velocity: no bubble grows by more than the scatter")
        return
    for i, name in enumerate(columns):
        table.insert(i, name, [keys[i][s[-1]] for s in steps])
    names = {
        f"{wall}{end}": f"{wall}_{length}_per_{unit}{end}"
        for wall in ("velocity", "left", "right")
        for end in ("", "_sd")
    }
    table[list(names)] *= scale
    used = int(table["frames"].sum())
    per = f"{'µm' if length == 'um' else 'px'}/{unit}"
    sideways = applied["in_plane_field_mt"].to_numpy() if "in_plane_field_mt" in applied else None
    straight = table if sideways is None else table[table["in_plane_field_mt"].fillna(0) == 0]
    for exponent, head in ((0.25, "creep"), (None, "creep_free")):
        try:
            creep = creep_fit(
                straight[driving].to_numpy(), straight["velocity"].to_numpy(),
                straight["velocity_sd"].to_numpy(), exponent=exponent,
            )  # fmt: skip
        except SpinscopeError as error:
            if sideways is None and exponent:
                source.notes.append(f"no creep law: {error}")
            continue
        power = "1/4" if exponent else "exponent"
        source.figure(f"{head}_ln_v0", creep["ln_v0"], f"ln({per})", creep["ln_v0_sd"],
                      n_frames=used)  # fmt: skip
        source.figure(f"{head}_alpha", creep["alpha"], f"mT^({power})", creep["alpha_sd"],
                      n_frames=used)  # fmt: skip
        if exponent is None:
            source.figure("creep_free_exponent", creep["exponent"], "1", creep["exponent_sd"],
                          n_frames=used)  # fmt: skip
    if sideways is not None and len(np.unique(sideways[np.isfinite(sideways)])) > 1:
        try:
            names_of = ("in_plane_field_mt", "left", "right", "left_sd", "right_sd")
            dmi = dmi_field(*(table[name].to_numpy() for name in names_of))
            source.figure("dmi_field", dmi["dmi_field"], "mT", dmi["dmi_field_sd"], n_frames=used)
        except SpinscopeError as error:
            source.notes.append(f"no field of the DMI: {error}")
    source.tables["walls"] = table.rename(columns=names)
    source.tables["ellipses"] = ellipses.join(applied, on="frame")


def _stripes(source: _Source, table: pd.DataFrame) -> None:
    """Widths of stripes, those of the frame with the smallest field as figures."""
    length, scale = source.length
    columns = [c for c in table if "_px" in c]
    table[columns] = table[columns] * scale
    if "field_mt" in source.applied:
        near = source.applied["field_mt"].abs().to_numpy()[table["frame"]]
        first = table.iloc[int(np.nanargmin(near))] if np.isfinite(near).any() else table.iloc[0]
    else:
        first = table.iloc[0]
    unit = "µm" if length == "um" else "px"
    source.figure(
        "stripe_width", first["width_px_mean"], unit, first["width_px_mean_sd"],
        first["width_px_mean_sd_boundary"], 1,
    )  # fmt: skip
    source.figure("stripe_period", first["period_px"], unit, n_frames=1)
    table = table.rename(columns={c: c.replace("_px", f"_{length}") for c in columns})
    joined = table.join(source.applied, on="frame")
    source.tables["stripes"] = joined[
        ["frame", *source.applied.columns, *(c for c in table if c != "frame")]
    ]


def _events(source: _Source, settings: Measure) -> None:
    """Nucleation and annihilation."""
    from spinscope.analysis import default_search_range, link
    from spinscope.analysis.events import event_values, events

    if source.tracks is None and not source.model and source.objects is not None:
        if source.objects.groupby("frame").size().max() <= _FEW_DOMAINS:
            return
        objects = source.objects
        rough = [
            np.average(group["convex_deficit"], weights=group["area_px"]) > _ROUGH
            for _, group in objects.groupby("frame")
        ]
        if np.mean(rough) > 0.1:
            source.notes.append("no events: the domains are irregular and cannot be tracked")
            return
        try:
            source.tracks = link(
                objects,
                search_range_px=settings.search_range_px or default_search_range(objects),
                memory=settings.memory,
                size_ratio=settings.size_ratio,
            )
        except SpinscopeError as error:
            source.notes.append(f"no events: {error}")
    if source.tracks is None or not len(source.tracks):
        return
    applied = {name: source.applied[name].to_numpy() for name in source.applied}
    found = events(
        source.tracks,
        applied,
        n_frames=source.n,
        shape=source.shape,
        unreadable=source.unreadable,
    )
    source.tables["events"] = found
    for column, name, unit in (("field_mt", "field", "mT"), ("temperature_k", "temperature", "K")):
        if column not in applied or not len(found):
            continue
        values = event_values(found, column)
        for event in ("nucleation", "annihilation"):
            mean, spread = values[f"{event}_{column}"], values[f"{event}_{column}_sd"]
            source.figure(f"{event}_{name}", mean, unit, values[f"{event}_{column}_se"])
            source.figure(f"{event}_{name}_spread", spread, unit)
        source.figure("nucleation_events", values["nucleation_events"], "1")
        source.figure("annihilation_events", values["annihilation_events"], "1")


def _against(source: _Source) -> None:
    """Density, diameter, order and diffusion against what was swept."""
    import pandas as pd

    from spinscope.analysis import diffusion
    from spinscope.analysis.against import against, diagram

    if source.rows is None or source.objects is None or not len(source.objects):
        return
    rows = source.rows[[c for c in source.rows if c not in source.applied]]
    rows = rows[~rows["frame"].isin(source.unreadable)].join(source.applied, on="frame")
    rows = rows.reset_index(drop=True)
    swept = [
        name
        for name in source.applied
        if name not in _NOT_SWEPT and len(source.applied[name].dropna().unique()) > 1
    ]
    micrometres, timed = source.pixel_size is not None, source.interval is not None
    quantities = [
        ("density", "density_um2", "1/µm²") if micrometres else ("density", "density_px2", "1/px²"),
        ("diameter", "diameter_nm", "nm") if micrometres else ("diameter", "diameter_px", "px"),
        ("psi6", "psi6", "1"),
        ("diffusion", "diffusion_m2_per_s", "m²/s")
        if micrometres and timed
        else ("diffusion", "diffusion_px2_per_frame", "px²/frame"),
    ]
    known: dict[str, Any] = {"pixel_size": source.pixel_size, "interval": source.interval}
    inner = None  # domains found by half contrast are pinned
    if source.model and source.tracks is not None and len(source.tracks):
        inner = source.tracks[~source.tracks["touches_border"].to_numpy(dtype=bool)]
        inner = inner.reset_index(drop=True)
        found, name = diffusion(inner, **known), quantities[-1][1]
        source.figure("diffusion", found[name], quantities[-1][2], found[f"{name}_se"])
    parts = []
    for name in swept:
        table = against([name], rows, source.objects, shape=source.shape, tracks=inner, **known)
        for quantity, column, unit in quantities:
            if column not in table:
                continue
            columns = {
                "swept": name,
                "value": table[name],
                "direction": table["direction"],
                "frames": table["frames"],
                "quantity": quantity,
                "unit": unit,
                "mean": table[column],
                "sd_statistical": table[f"{column}_se"],
                "sd_boundary": table.get(f"{column}_sd_boundary", np.nan),
            }
            parts.append(pd.DataFrame(columns))
    if parts:
        table = pd.concat(parts, ignore_index=True)
        source.tables["against"] = table[table["mean"].notna()].reset_index(drop=True)
    if len(swept) > 1:
        both = against(swept[:2], rows, source.objects, shape=source.shape, **known)
        source.tables["diagram"] = diagram(swept[0], swept[1], both)
