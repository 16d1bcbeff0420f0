"""``spinscope intake``, ``segment``, ``measure`` and the other verbs of recordings."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from spinscope.cli.shared import (
    MODEL_HELP,
    Answer,
    FrameBar,
    Model,
    Settings,
    Tta,
    former,
    option,
    output,
    renamed,
    show_progress,
    verb,
)
from spinscope.errors import SpinscopeError

app = typer.Typer()
BUNDLED = "bundled:moke-unet"
_CLIPPED = 1e-3
Results = Annotated[Path, typer.Argument(help="Folder that `segment` wrote.")]


@verb(app)
def intake(
    settings: Settings,
    files: Annotated[
        list[Path] | None, typer.Argument(help="Raw stacks, videos or folders of images.")
    ] = None,
    reference: option(str, "File, first, first:N, mean or none (first).") = None,
    out: output("clean") = None,
    recipe: option(Path, "Recipe NAME.intake.json to apply again.") = None,
    drift: option(str, "Table NAME.csv with drift to apply, or none (measured).") = None,
    average: option(int, "Raw frames averaged to one (1).") = None,
    crop: option(str, "Region of interest y0,x0,y1,x1, px (whole frame).") = None,
    region: option(list[str], "NAME=y0,x0,y1,x1, px: a column of its own, repeatable.") = [],  # noqa: B006
    applied: option(list[str], "COLUMN=VALUE or FIRST:LAST, such as field_mt=0:30.") = [],  # noqa: B006
    still: option(str, "Region without magnetic film y0,x0,y1,x1, px.") = None,
    pixel_size: option(float, "Pixel size in nm (the recording's metadata).") = None,
    interval: option(float, "Time between raw frames in s (the metadata).") = None,
) -> Answer:
    """Clean raw recordings: background, drift, uneven light, stripes."""
    from spinscope import jobs

    if recipe is not None:
        stored, reference, raw = jobs.applied_recipe(recipe, reference)
        kept = [f"intake.{key}={json.dumps(value)}" for key, value in stored.model_dump().items()]
        settings = Settings(settings.profile, [*kept, *settings.overrides])
        files = files or [raw]
    regions = _pairs(region, "--region", "NAME=y0,x0,y1,x1")
    params = settings.load(
        intake__average=average,
        intake__crop=crop and json.dumps(crop),
        intake__still=still and json.dumps(still),
        intake__regions=regions,
        intake__applied=_pairs(applied, "--applied", "COLUMN=VALUE, such as field_mt=0:30"),
        intake__pixel_size_nm=pixel_size,
        intake__interval_s=interval,
        intake__drift="false" if drift == "none" else None,
    )
    table = None if drift in (None, "none") else Path(drift)
    out = out or Path("clean")
    with FrameBar() as bar:
        try:
            rows = jobs.clean_recordings(
                params, files or [], out, reference or "first", drift=table, on_frame=bar
            )
        except KeyboardInterrupt:
            print(f"interrupted; finished frames are in {out}", file=sys.stderr)
            raise
    errors = "; ".join(row["error"] for row in rows if "error" in row)
    lines = [line for row in rows for line in cleaning_lines(row)]
    return Answer(lines, rows, SpinscopeError(errors) if errors else None)


def _pairs(given: list[str], option: str, rule: str) -> str | None:
    """JSON of options NAME=VALUE, None without any."""
    if wrong := [text for text in given if "=" not in text]:
        raise SpinscopeError(f"{option} {wrong[0]} must be {rule}")
    return json.dumps(dict(text.split("=", 1) for text in given)) if given else None


def cleaning_lines(row: dict) -> list[str]:
    """Lines about a clean recording: the answer, then what needs attention.

    Parameters
    ----------
    row : dict
        One recording, see `jobs.clean_recordings`.
    """
    (height, width), drift = row["shape_px"], row["drift"]
    text = f"{row['file']}: {row['frames']} frames of {height}x{width}, {drift['kind']} drift"
    if "max_drift_y_px" in drift and drift["kind"] != "none":
        text += f" up to {_furthest(drift):.1f} px"
    lines = [f"{text}, white at contrast {row['span']:g}"]
    if row["pixel_size_nm"] is None:
        lines.append("note: pixel size unknown, lengths will be in px; give --pixel-size")
    if lost := row["lost"]:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        lines.append(f"warning: black frames: {lost[0]['error']}{more}")
    if row["clipped_fraction"] > _CLIPPED:
        lines.append(
            f"warning: {row['clipped_fraction']:.1%} of the pixels exceed the span; give a larger "
            "one with --set intake.span"
        )
    return lines


def _furthest(drift: dict) -> float:
    """Largest drift along an axis, px."""
    return max(abs(value) for key, value in drift.items() if key != "kind")


@verb(app)
def segment(
    settings: Settings,
    files: Annotated[
        list[Path], typer.Argument(help="Images, TIFF stacks, AVI or MP4, folders of images.")
    ],
    model: option(list[str], f"{MODEL_HELP} Repeat to average.") = [BUNDLED],  # noqa: B006
    out: output("masks") = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Segment new files of a folder until Ctrl-C.")
    ] = False,
    pixel_size: option(float, "Pixel size in nm (the recording's metadata).") = None,
    tta: Tta = None,
    level: option(str, "Probability at the boundary, half, mz=0.9, or a file.") = None,
) -> Answer:
    """Segment and measure recordings; an interrupted call is resumed."""
    from spinscope import jobs

    params = settings.load(
        segment__tta=tta, segment__pixel_size_nm=pixel_size, segment__level=level
    )
    out = out or Path("masks")
    with FrameBar() as bar, _on_interrupt(watch) as interrupted:
        try:
            rows = jobs.segment(
                params, files, model, out, watch=watch, stop=interrupted, on_frame=bar
            )
        except KeyboardInterrupt:
            print(
                f"interrupted; finished frames are in {out}, the same command resumes",
                file=sys.stderr,
            )
            raise
    errors = "; ".join(row["error"] for row in rows if "error" in row)
    for row in rows:
        if "warning" in row:
            print(f"warning: {row['warning']}", file=sys.stderr)
    lines = [segmentation_line(row) for row in rows]
    return Answer(lines, rows, SpinscopeError(errors) if errors else None)


@verb(app)
def calibrate(
    settings: Settings,
    image: Annotated[Path | None, typer.Argument(help="Image of the recording.")] = None,
    mask: Annotated[Path | None, typer.Argument(help="Its corrected mask, a label file.")] = None,
    reviews: option(Path, "Folder of reviews, in place of an image and its mask.") = None,
    films: option(Path, "Folder of relaxed films: fit levels of m_z (none).") = None,
    model: option(list[str], f"{MODEL_HELP} Repeat to average.") = [BUNDLED],  # noqa: B006
    out: output("level.json, or model-mz", "JSON file, or model folder with --films") = None,
    tta: Tta = None,
) -> Answer:
    """Fit the boundary level to corrected masks, or to the m_z of films."""
    if films is not None:
        if len(model) > 1 or any(value is not None for value in (image, mask, reviews, tta)):
            raise SpinscopeError("calibrate --films needs one --model and no image, reviews or tta")
        return _calibrate_mz(settings, model[0], films, out or Path("model-mz"))
    from spinscope import jobs
    from spinscope.reviews.corrected import corrected_frames
    from spinscope.reviews.folder import Reviews

    if (image is None, mask is None) != (reviews is not None,) * 2:
        raise SpinscopeError("calibrate needs an image and its mask, or --reviews FOLDER")
    if reviews is not None:
        frames = corrected_frames(Reviews.open(reviews))
    else:
        frames = [jobs.corrected_frame(image, mask)]
    params = settings.load(segment__tta=tta)
    fitted = jobs.calibrate(params, model, frames, out or Path("level.json"))
    gain = (
        f"MCC {fitted['mcc']:.4f}, {fitted['mcc_most_probable']:.4f} with the most probable class"
    )
    lines = [f"level {fitted['level']:.2f}: {gain}", f"next: --level {fitted['file']}"]
    return Answer(lines, fitted)


def _calibrate_mz(settings: Settings, model: str, films: Path, out: Path) -> Answer:
    """Write a model with its levels of m_z."""
    from spinscope.inference.level import MzLevel
    from spinscope.jobs.mz_levels import add_mz_levels

    found = add_mz_levels(settings.load_of(model), model, films, out)
    lines = [f"{'m_z':>6}{'level':>8}{'SD (logits)':>13}{'IoU':>7}{'area':>14}{'diameter':>14}"]
    for row in found["rows"]:
        refused = "" if MzLevel.model_validate(row).reached else "  refused by --level"
        lines.append(
            f"{row['m_z']:>6g}{row['level']:>8.3f}{row['sd_logits']:>13.2f}{row['iou']:>7.2f}"
            f"{row['area']:>7.2f} ± {row['area_sd']:.2f}"
            f"{row['diameter']:>7.2f} ± {row['diameter_sd']:.2f}{refused}"
        )
    lines.append(f"next: --model {found['folder']} --level mz=0.95")
    return Answer(lines, found)


@verb(app)
def measure(
    settings: Settings,
    folder: Results,
    sample_mask: option(Path, "Image that is black where the sample has no film.") = None,
    reviews: option(Path, "Folder of reviews that replace masks; writes NAME-reviewed.") = None,
    tracks: option(Path, "TrackMate XML or CSV, or table of tracks (own links).") = None,
    film: former(Path, "--film") = None,
) -> Answer:
    """Measure lattice order and tracks of a segmented recording."""
    from spinscope import jobs

    sample_mask = renamed("--film", "--sample-mask", sample_mask, film)
    if reviews is not None:
        from spinscope.reviews.remeasured import remeasure

        folder = remeasure(folder, reviews).folder
        print(f"corrected masks: {folder}", file=sys.stderr)
    figures = jobs.measure(settings.load(), folder, sample_mask, tracks)
    return Answer(figure_lines(figures), figures)


@verb(app)
def numbers(
    settings: Settings,
    folder: Annotated[Path, typer.Argument(help="Results of segment, or NAME.tif of intake.")],
    background: option(bool, "Subtract a line from loops (no).") = False,
    out: output("the results folder, or NAME.numbers") = None,
) -> Answer:
    """Measure loops, walls, stripes and events against what was applied."""
    from spinscope.jobs.numbers import numbers_of

    found = numbers_of(folder, settings.load().measure, out=out, background=background)
    found.pop("tables")
    lines = []
    for name, one in found["figures"].items():
        if one["value"] is not None:
            errors = [
                f"± {one[key]:.2g} ({kind})"
                for key, kind in (("sd_statistical", "statistical"), ("sd_boundary", "boundary"))
                if one[key] is not None
            ]
            unit = "" if one["unit"] == "1" else one["unit"]
            lines.append(" ".join(filter(None, [f"{name:<28}{one['value']:.5g}", *errors, unit])))
    return Answer([*lines, *found["notes"]], found)


@verb(app, settings=False)
def export(
    folder: Results,
    kinds: option(
        list[str], "roi,labels,classes,coco,geojson,zarr,csv,png,mp4,trackmate or all.", "--to"
    ),
    out: output("the results folder") = None,
) -> Answer:
    """Write a segmented recording for Fiji, OME, COCO and others."""
    from spinscope import jobs

    written = {kind: str(path) for kind, path in jobs.export(folder, kinds, out).items()}
    return Answer(list(written.values()), written)


@verb(app, "import")
def import_masks(
    settings: Settings,
    masks: Annotated[
        list[Path],
        typer.Argument(help="ROI zip, COCO JSON, label images, _seg.npy; reviews."),
    ],
    frames: option(list[Path], "Recording of the masks, one per file, repeatable.") = [],  # noqa: B006
    out: output("imported") = None,
    class_: option(str, "Class of objects whose file names none (skyrmion).", "--class") = None,
    class_indices: Annotated[
        bool, typer.Option("--class-indices", help="Label images hold class indices (no).")
    ] = False,
    overlap: Annotated[
        bool, typer.Option("--overlap", help="Draw later objects over earlier ones (no).")
    ] = False,
    empty: Annotated[
        bool, typer.Option("--empty", help="Frames without a mask have no objects (no).")
    ] = False,
    pixel_size: option(float, "Pixel size in nm (the recording's metadata).") = None,
    into: option(Path, "Your reviews or results folder, for a colleague's work.") = None,
    reviewer: option(str, "Colleague who made the masks, with --into.") = None,
    theirs: Annotated[
        bool, typer.Option("--theirs", help="Theirs count where both differ, with --into (no).")
    ] = False,
) -> Answer:
    """Import masks of other programs, or the reviews of a colleague."""
    from spinscope import jobs

    if into is not None:
        if out or pixel_size:
            raise SpinscopeError("--out and --pixel-size do not go with --into")
        drawing = {
            "object_class": class_,
            "class_indices": class_indices,
            "overlap": overlap,
            "empty": empty,
        }
        return _take(masks, frames, into, reviewer, theirs, drawing)
    if theirs or reviewer:
        raise SpinscopeError("--theirs and --reviewer need --into FOLDER, your reviews")
    with FrameBar() as bar:
        found = jobs.import_masks(
            settings.load(segment__pixel_size_nm=pixel_size),
            masks,
            frames,
            out or Path("imported"),
            object_class=class_,
            class_indices=class_indices,
            overlap=overlap,
            empty=empty,
            on_frame=bar,
        )
    for row in found["recordings"]:
        for note in row["notes"]:
            print(f"warning: {note}", file=sys.stderr)
    lines = [
        f"{row['folder']}: {row['objects']} skyrmions in {row['masks']} of {row['frames']} frames"
        for row in found["recordings"]
    ]
    return Answer([*lines, f"{found['dataset']}: dataset of {found['images']} frames"], found)


def _take(
    paths: list[Path],
    frames: list[Path],
    into: Path,
    reviewer: str | None,
    theirs: bool,
    drawing: dict[str, str | bool | None],
) -> Answer:
    """Take reviews or masks of colleagues; a warning names frames that two people left apart."""
    from spinscope.reviews.merging import holds_reviews, merge, merge_masks, reviews_in

    masks = [path for path in paths if not holds_reviews(path)]
    if masks and not reviewer:
        raise SpinscopeError(
            f"{masks[0]} holds no review; for masks of a colleague give --reviewer NAME"
        )
    if len(masks) < len(paths) and (reviewer or frames or any(drawing.values())):
        raise SpinscopeError(
            "only --theirs goes with --into and reviews; give masks in a call alone"
        )
    if frames and len(frames) != len(masks):
        raise SpinscopeError(
            f"{len(masks)} files of masks and {len(frames)} recordings are given; each file needs "
            "its recording: repeat --frames in the same order"
        )
    rows, lines = [], []
    for path, recording in itertools.zip_longest(paths, frames):
        if masks:
            found = merge_masks(path, recording, into, reviewer, prefer_theirs=theirs, **drawing)
        else:
            found = merge(reviews_in(path), reviews_in(into), prefer_theirs=theirs)
        conflicts = [review.frame for review in found.conflicts]
        warnings = list(found.notes)
        if conflicts:
            kept = "theirs count now" if theirs else "yours were kept; --theirs takes theirs"
            named = ", ".join(conflicts)
            warnings.append(f"{path}: frames with two different reviews: {named}; {kept}")
        for warning in warnings:
            print(f"warning: {warning}", file=sys.stderr)
        taken = [{"frame": one.frame, "reviewer": one.who} for one in found.taken]
        rows.append(
            {"file": str(path), "taken": taken, "known": found.known, "conflicts": conflicts}
        )
        lines.append(f"{into}: reviews taken: {len(taken)}, there already: {found.known}")
    return Answer(lines, rows)


@verb(app)
def drift(
    settings: Settings,
    files: Annotated[
        list[Path], typer.Argument(help="Images, TIFF stacks, AVI or MP4, folders of images.")
    ],
    model: Model = BUNDLED,
    reference: option(Path, "Dataset to compare with (the model's training set).") = None,
) -> Answer:
    """Compare recordings with the training set of a model."""
    from spinscope import jobs

    rows = jobs.drift(
        settings.load_of(model), files, model, reference=reference, progress=show_progress
    )
    return Answer([line for row in rows for line in drift_lines(row)], rows)


def drift_lines(row: dict) -> list[str]:
    """Lines about the drift of a recording: the answer, then one line per measure.

    Parameters
    ----------
    row : dict
        Drift report of the recording.
    """
    frames = "1 frame" if row["frames"] == 1 else f"{row['frames']} frames"
    lines = [f"{row['file']}: {row['sentence']} ({frames})"]
    for one in row["measures"]:
        value = "not measured: no objects"
        if one["value"] is not None:
            value = f"{one['value']:.3g} {one['unit']}".rstrip()
        limits = [
            f"{word} {one[key]:.3g}"
            for word, key in (("at least", "low"), ("at most", "high"))
            if one[key] is not None
        ]
        end = ", out of range" if one["out"] else ""
        lines.append(f"  {one['name']:<12}{value} ({', '.join(limits)}){end}")
    return lines


def segmentation_line(row: dict) -> str:
    """One line about a segmented recording.

    Parameters
    ----------
    row : dict
        Summary of the recording.
    """
    left_out = ", ".join(dict.fromkeys(part["kind"] for part in row.get("left_out", ())))
    number = str(row["objects"])
    if (sd := row.get("objects_sd_detection")) is not None:
        number += f" ± {sd * row['frames']:.0f} (detection)"
    if row["frames"] == 1:
        area = f"{100 * row['area_fraction']:.2f} % of the {'sample' if left_out else 'frame'}"
        text = f"{number} skyrmions on {area}{_size(row)}"
    else:
        speed = f", {row['frames_per_s']:.1f} frames/s" if row["frames_per_s"] else ""
        text = f"{number} skyrmions in {row['frames']} frames{_size(row)}{speed}"
    previous = f" (earlier results: {row['previous']})" if row["previous"] else ""
    note = f" ({row['note']})" if "note" in row else ""
    note += f" (left out: {left_out})" if left_out else ""
    if "evidence_nats" in row:
        scale = f"scale {row['scale']:g}, " if "scale" in row else ""
        note += f" (found: {scale}{row['polarity']} skyrmions)"
    level = f", boundary at {row['level']:.3g}" if "level" in row else ""
    return f"{row['folder']}: {text}{level}{previous}{note}"


def _size(row: dict) -> str:
    """Mean diameter in px, and in nm where the pixel size is known."""
    if row.get("diameter_px_mean") is None:
        return ""
    text = f", mean diameter {row['diameter_px_mean']:.1f}"
    if (sd := row.get("diameter_px_mean_sd_boundary")) is not None:
        text += f" ± {sd:.1f} (boundary)"
    text += " px"
    if row.get("diameter_nm_mean") is None:
        return f"{text} (pixel size unknown)"
    return f"{text} = {row['diameter_nm_mean']:.4g} nm (pixels of {row['pixel_size_nm']:g} nm)"


def figure_lines(figures: dict) -> list[str]:
    """One line per quantity, with its standard error or its SD over the frames.

    Parameters
    ----------
    figures : dict
        Quantity → value.
    """
    lines = []
    for key, value in figures.items():
        if not isinstance(value, int | float) or key.endswith(("_se", "_sd_frames")):
            continue
        line = f"{key:<28}{_decimal(value, 5)}"
        for end, what in (("_se", "standard error"), ("_sd_frames", "SD over frames")):
            if figures.get(key + end):
                line += f" ± {_decimal(figures[key + end], 2)} ({what})"
        lines.append(line)
    return [*lines, *(f"note: {note}" for note in figures.get("notes", ()))]


def _decimal(value: float, digits: int) -> str:
    """Number of so many digits, with an exponent only where it is very large or small."""
    if isinstance(value, int):
        return str(value)
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.{digits}g}"
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0) if value else 0
    return f"{value:.{decimals}f}" if decimals else f"{round(value):d}"


@contextlib.contextmanager
def _on_interrupt(watch: bool):
    """Let Ctrl-C end a watch in good order; yields a function that returns whether it was hit."""
    hit = threading.Event()
    if not watch:
        yield hit.is_set
        return
    before = signal.signal(signal.SIGINT, lambda *_: hit.set())
    try:
        yield hit.is_set
    finally:
        signal.signal(signal.SIGINT, before)


@verb(app)
def report(
    settings: Settings,
    source: Annotated[
        Path, typer.Argument(help="Clean recording, results folder, or folder of numbers.")
    ],
) -> Answer:
    """Measure loops, walls, stripes and events; write a page and figures."""
    from spinscope import jobs

    page = jobs.report(source, settings.load().measure)
    return Answer([f"report: {page}", f"figures: {page.parent / 'figures'}"], {"file": str(page)})
