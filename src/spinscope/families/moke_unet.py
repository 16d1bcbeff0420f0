"""`moke-unet`: skyrmions and defects in Kerr images.

Source: Labrie-Boulay et al., Phys. Rev. Applied 21, 014014 (2024).
"""

from __future__ import annotations

from pathlib import Path

from spinscope.config import Params
from spinscope.families.segmentation import Segmentation
from spinscope.progress import Progress, no_progress


class MokeUnet(Segmentation):
    """Kerr image → skyrmion, defect, background."""

    name, modality = "moke-unet", "Kerr"
    title = "segmentation of Kerr images"

    def corpus(
        self,
        params: Params,
        out: Path,
        *,
        source: Path | None = None,
        progress: Progress = no_progress,
    ) -> Path:
        """Write simulated Kerr frames; a complete corpus of the same settings is kept."""
        from spinscope.corpora.kerr import corpus_header, make_kerr_corpus
        from spinscope.corpora.writing import kept_corpus

        kerr, seed = params.kerr, params.seed
        return kept_corpus(
            out,
            {**corpus_header(seed, kerr), "n": kerr.n},
            lambda: make_kerr_corpus(out, kerr.n, seed, kerr, progress=progress),
        )


FAMILY = MokeUnet()
