"""`parameter-cnn-ms`: the saturation magnetisation from an image of domains.

It is `parameter-cnn` with settings of its own: another corpus, and gates in its units.
"""

from __future__ import annotations

from spinscope.families.parameter_cnn import ParameterCnn


class ParameterCnnMs(ParameterCnn):
    """Image of domains (H, W) and its pixel size → distribution of Ms."""

    name = "parameter-cnn-ms"
    title = "saturation magnetisation from images of domains"


FAMILY = ParameterCnnMs()
