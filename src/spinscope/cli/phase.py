"""``spinscope phase``: phase and induction of a film from a through-focal Lorentz series."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spinscope.cli.shared import Answer, option, output, verb
from spinscope.errors import SpinscopeError

app = typer.Typer()


@verb(app, settings=False)
def phase(
    files: Annotated[
        list[Path], typer.Argument(help="Images under, in and over focus, or their stack.")
    ],
    defocus: Annotated[str, typer.Option(help="Defocus in µm: of the outer images, or a list.")],
    voltage: Annotated[float, typer.Option(help="Acceleration voltage in kV.")] = 200.0,
    pixel_size: option(float, "Pixel size in nm, if the files have none.") = None,
    thickness: option(float, "Film thickness in nm; the induction is then in T.") = None,
    regularisation: Annotated[
        float, typer.Option(help="Cut-off that damps long waves, in cycles per µm.")
    ] = 0.0,
    mirrored: Annotated[
        bool, typer.Option("--mirrored/--periodic", help="Continuation beyond the border.")
    ] = True,
    out: output("phase") = None,
) -> Answer:
    """Reconstruct phase and induction from a through-focal series."""
    from spinscope.config import checked_pixel_size_nm
    from spinscope.jobs.phase import phase as reconstruct

    try:
        planes = [float(text) * 1e-6 for text in defocus.split(",")]
    except ValueError:
        raise SpinscopeError(
            f"--defocus {defocus} must be numbers in µm, as 200 or -200,0,200"
        ) from None
    if pixel_size is not None:
        try:
            checked_pixel_size_nm(pixel_size)
        except ValueError as error:
            raise SpinscopeError(f"--pixel-size {error}") from error
    found = reconstruct(
        files, out or Path("phase"), defocus=planes, voltage=voltage * 1e3,
        pixel_size=None if pixel_size is None else pixel_size * 1e-9,
        thickness=None if thickness is None else thickness * 1e-9,
        regularisation=regularisation * 1e6, mirrored=mirrored,
    )  # fmt: skip
    furthest = max(abs(one) for shift in found["shifts_px"] for one in shift)
    lines = [
        f"phase: standard deviation {found['phase_sd']:.4g} rad; mean induction "
        f"{found['induction_mean']:.4g} {found['induction_unit']}",
        f"images displaced by up to {furthest:.1f} px; periods below "
        f"{found['finest_period_nm']:.3g} nm are recovered too weakly",
    ]
    if not found["focus_aligned"]:
        lines.append("note: the image in focus shows no structure; the others were aligned alone")
    return Answer([*lines, *(f"wrote {path}" for path in found["written"])], found)
