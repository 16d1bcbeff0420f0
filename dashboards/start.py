"""Start the dashboard, and import what its first page needs while the server starts.

Streamlit imports a page when a browser opens it. TensorFlow and MLflow take several seconds, which
pass before the address is printed if they are imported here, in a thread.
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from pathlib import Path

from spinscope.extras import installed

NEEDED = ("pandas", "altair", "spinscope.families", "spinscope.tracking.registry", "keras")
"""Modules that pages import, in their order."""


def import_needed() -> None:
    """Import `NEEDED`; pages report an error in one of them themselves."""
    for name in filter(_present, NEEDED):
        try:
            import_module(name)
        except Exception as error:
            print(f"{name} cannot be imported: {error}", file=sys.stderr)


def _present(name: str) -> bool:
    """Whether a module is one of spinscope, or installed."""
    return installed(name.partition(".")[0])


if __name__ == "__main__":
    from streamlit.web.cli import main

    threading.Thread(target=import_needed, name="imports", daemon=True).start()
    sys.argv = ["streamlit", "run", str(Path(__file__).with_name("app.py")), *sys.argv[1:]]
    sys.exit(main())
