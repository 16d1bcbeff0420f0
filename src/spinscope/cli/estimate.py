"""``spinscope estimate``: a magnetic parameter of a film from an image of its domains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spinscope.cli.shared import MODEL_HELP, Answer, Settings, option, output, show_progress, verb
from spinscope.errors import SpinscopeError

app = typer.Typer()


@verb(app)
def estimate(
    settings: Settings,
    image: Annotated[Path, typer.Argument(help="Grayscale image of domains.")],
    pixel_size: option(float, "Pixel size in nm, if the file has none.") = None,
    parameter: option(str, "dmi or ms (that of the model; dmi).") = None,
    model: option(str, f"{MODEL_HELP[:-1]} (bundled).", "--model") = None,
    refine: Annotated[bool, typer.Option("--refine", help="Compare with relaxed films.")] = False,
    out: output("none", "Folder for estimate.json and its pictures") = None,
) -> Answer:
    """Estimate D or Ms of a film from an image of its domains."""
    from spinscope.config import checked_pixel_size_nm
    from spinscope.jobs import estimate as jobs
    from spinscope.jobs.estimate_files import write_estimate

    if out is not None and out.exists() and not out.is_dir():
        raise SpinscopeError(f"--out {out} is a file; it must be a folder")
    if pixel_size is not None:
        try:
            checked_pixel_size_nm(pixel_size)
        except ValueError as error:
            raise SpinscopeError(f"--pixel-size {error}") from error
    found = jobs.estimate(
        settings.load(jobs.FAMILY), image,
        pixel_size=None if pixel_size is None else pixel_size * 1e-9,
        parameter=parameter, model_ref=model, refine=refine, progress=show_progress,
    )  # fmt: skip
    lines = _lines(found)
    if out is not None:
        lines += [f"wrote {path}" for path in write_estimate(found, out)]
    return Answer(lines, found.summary)


def _lines(found) -> list[str]:
    """Sentences for people."""
    from spinscope.inference.parameters import SHOWN

    symbol, unit, factor = SHOWN[found.parameter]

    def stated(value: float, sd: float, low: float, high: float) -> str:
        value, sd, low, high = (f"{number * factor:.4g}" for number in (value, sd, low, high))
        return f"{symbol} = {value} ± {sd} {unit}, 90 % interval {low} to {high} {unit}"

    known, name = found.estimate, found.given.name
    if known is None:
        lines = [f"{name}: no estimate of {symbol}"]
    else:
        lines = [f"{name}: {stated(known.mean, known.sd, known.low, known.high)}"]
    lines += [f"outside the range of the training: {reason}" for reason in found.reasons]
    if known is not None and not found.in_range:
        lines.append("the error of this value is unknown; its interval is the training range")
    if (one := found.refined) is not None:
        before, after = one.before, one.after
        lines += [
            f"refined with {one.films} films: {stated(one.value, one.sd, one.low, one.high)}",
            f"difference of the domain width {before.width:+.1%} before, {after.width:+.1%} after; "
            f"of the correlation {before.correlation:.3f} before, {after.correlation:.3f} after",
            f"probability of such a difference for these films: {one.probability:.2g}",
        ]
    if found.note:
        lines.append(f"not refined: {found.note}")
    width = f"domain width {found.signs.width * 1e9:.3g} nm; " if found.signs.width else ""
    return [*lines, f"{width}holds for {found.material}"]
