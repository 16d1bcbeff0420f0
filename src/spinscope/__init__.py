"""spinscope: from magnetic micrographs to promoted models and masks in the lab.

Examples
--------
>>> import spinscope
>>> model = spinscope.load_model("bundled:moke-unet")          # doctest: +SKIP
>>> recording = spinscope.open_recording("stack.tif")          # doctest: +SKIP
>>> result = spinscope.segment(recording, model)               # doctest: +SKIP
>>> tables = spinscope.measure(result, pixel_size=1e-7)        # doctest: +SKIP
>>> spinscope.export(result, "roi", "for-fiji")                # doctest: +SKIP
"""

from typing import Any

__version__ = "0.1.0"

__all__ = [
    "Segmentation",
    "export",
    "load_model",
    "measure",
    "open_dataset",
    "open_recording",
    "segment",
]


def __getattr__(name: str) -> Any:
    """Import the public functions on first use, so that `import spinscope` is instant."""
    if name in __all__:
        from spinscope import api

        return getattr(api, name)
    raise AttributeError(f"module 'spinscope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
