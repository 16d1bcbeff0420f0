"""Scale and polarity of a recording, where the settings leave them to the program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.config import Segment
from spinscope.errors import SpinscopeError
from spinscope.inference.conditions import SCALES, find_conditions
from spinscope.inference.sample import recording_region
from spinscope.recordings import Recording

if TYPE_CHECKING:
    from spinscope.inference.predict import Predictor


def with_conditions(
    model: Predictor, settings: Segment, recording: Recording
) -> tuple[Predictor, dict[str, Any]]:
    """Return a model for the scale and the polarity of a recording.

    Parameters
    ----------
    model : Predictor or Ensemble
    settings : Segment
        Section `segment` of the settings.
    recording : Recording
        Recording whose conditions are found, where the settings ask for it.

    Returns
    -------
    model : Predictor or Ensemble
    found : dict
        `scale`, `polarity` and `evidence_nats` of every choice; empty where all is given.

    Raises
    ------
    SpinscopeError
        For "auto" with a watched folder or Lorentz images.
    """
    from spinscope import families

    asked = [key for key in ("scale", "polarity") if getattr(settings, key) == "auto"]
    if not asked:
        return model, {}
    if recording.n is None:
        raise SpinscopeError(
            f"segment.{asked[0]} (=auto) must be given for a watched folder, whose frames are "
            "still to come"
        )
    if (modality := families.of_model(model.info).modality) != "Kerr":
        raise SpinscopeError(
            f"segment.{asked[0]} (=auto) must be given for {modality} images: their skyrmions are "
            "bright on one side and dark on the other"
        )
    frames = [recording.read(index) for index in sorted({0, recording.n - 1})]
    region = recording_region(recording.shape, frames, settings.region)
    conditions = find_conditions(
        model.with_level(None),
        [region.sample(frame) for frame in frames],
        scales=SCALES if settings.scale == "auto" else (settings.scale or 1.0,),
        polarities=(False, True)
        if settings.polarity == "auto"
        else (settings.polarity == "bright",),
    )
    evidence: dict[str, dict[str, float]] = {"dark": {}, "bright": {}}
    for (scale, inverted), nats in conditions.evidence.items():
        evidence["bright" if inverted else "dark"][f"{scale:g}"] = float(np.round(nats, 1))
    found = {
        "scale": conditions.scale or 1.0,
        "polarity": "bright" if conditions.inverted else "dark",
        "evidence_nats": {name: nats for name, nats in evidence.items() if nats},
    }
    scale = conditions.scale if settings.scale == "auto" else settings.scale
    return model.under(scale, conditions.inverted), found
