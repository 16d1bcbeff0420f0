"""Former module names, which the stored serving code of earlier registered versions imports.

The next release removes them: register a version again to serve it with later releases.
"""

from spinscope.classes import COLOURS

__all__ = ["COLOURS"]
