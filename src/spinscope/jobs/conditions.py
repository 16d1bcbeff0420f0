"""Scale and polarity of a recording, where the settings leave them to the program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spinscope.config import Segment
from spinscope.inference.pyramid import adapted, at_scale
from spinscope.inference.sample import recording_region
from spinscope.recordings import Recording, readable_frames

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
        `scale` and `polarity`, where another one than that of the training frames was found, and
        `evidence_nats` of every choice; empty where the frames are taken as they are.

    Notes
    -----
    Frames of a watched folder, which are still to come, and Lorentz images, whose skyrmions are
    bright on one side and dark on the other, are taken as they are.
    """
    from spinscope import families

    automatic = "auto" in (settings.scale, settings.polarity)
    if families.of_model(model.info).modality != "Kerr":
        return model, {}
    if not automatic or recording.n is None:
        return (model if settings.scale == "auto" else at_scale(model, settings.scale)), {}
    frames = list(readable_frames(recording, sorted({0, recording.n - 1})))
    if not frames:
        return model, {}
    region = recording_region(recording.shape, frames, settings.region)
    fitting, conditions = adapted(
        model,
        [region.sample(frame) for frame in frames],
        scale=settings.scale,
        polarity=settings.polarity,
    )
    scale = conditions.scale
    if scale is None and conditions.inverted == (settings.polarity == "bright"):
        return fitting, {}
    evidence: dict[str, dict[str, float]] = {"dark": {}, "bright": {}}
    for (tried, inverted), nats in conditions.evidence.items():
        evidence["bright" if inverted else "dark"][f"{tried:g}"] = float(np.round(nats, 1))
    found: dict[str, Any] = {} if scale is None else {"scale": scale}
    found["polarity"] = "bright" if conditions.inverted else "dark"
    found["evidence_nats"] = {name: nats for name, nats in evidence.items() if nats}
    return fitting, found
