"""Prefect's server for the programs and the browser of this machine.

`prefect server start` compares neither Host nor Origin, so that its application is served here
behind `spinscope.origins`.
"""

from __future__ import annotations

import argparse

from prefect.server.api.server import create_app

from spinscope.origins import serve_app

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    serve_app(create_app(final=True), parser.parse_args().port)
