"""`ltem-unet`: skyrmions in defocused Lorentz images.

Source: McCray et al., APL Mach. Learn. 2, 026120 (2024).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spinscope.config import Params
from spinscope.datasets import Dataset
from spinscope.errors import SpinscopeError
from spinscope.families.segmentation import Segmentation
from spinscope.progress import Progress, no_progress


class LtemUnet(Segmentation):
    """Defocused Lorentz image → skyrmion, background."""

    name, modality = "ltem-unet", "Lorentz"
    title = "segmentation of Lorentz images"

    def corpus(
        self,
        params: Params,
        out: Path,
        *,
        source: Path | None = None,
        progress: Progress = no_progress,
    ) -> Path:
        """Write Lorentz images of a corpus of films; the same complete ones are kept.

        Parameters
        ----------
        params : Params
            Seed and the section `ltem`.
        out : Path
        source : Path
            Folder of the corpus of films.
        progress : callable, optional

        Raises
        ------
        SpinscopeError
            If `source` contains no corpus of films.
        """
        from spinscope.corpora.films import HEADER, open_films
        from spinscope.corpora.ltem import corpus_header, make_ltem_corpus
        from spinscope.corpora.writing import kept_corpus

        if source is None or not (source / HEADER).is_file():
            raise SpinscopeError(
                f"there are no films at {source}: run `spinscope corpus films`, or name a corpus "
                "of films with --films"
            )
        films = open_films(source)
        return kept_corpus(
            out,
            corpus_header(films, params.seed, params.ltem),
            lambda: make_ltem_corpus(out, films, params.seed, params.ltem, progress=progress),
        )

    def data_info(self, dataset: Dataset) -> dict[str, Any]:
        """Header of the corpus with its mean tilt axis in degrees and its pixel size in nm."""
        info = super().data_info(dataset)
        header = info.get("corpus", {})
        if header.get("kind") == "ltem":
            info |= {"axis_deg": sum(header["axis_deg"]) / 2, "pixel_size_nm": header["cell_nm"]}
        return info


FAMILY = LtemUnet()
