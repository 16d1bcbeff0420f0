"""MLflow's pages and REST interface for the programs and the browser of this machine.

`mlflow server` accepts requests of every page on any port of this machine, so that its application
is served here behind `spinscope.origins`. The store and the artifacts come from the environment
variables that `mlflow server` reads.
"""

from __future__ import annotations

import argparse
import os

from spinscope.origins import serve_app


def main() -> None:
    """Serve MLflow on the port that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    from mlflow.server import constants

    uri = os.environ["MLFLOW_BACKEND_STORE_URI"]
    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: uri,
        constants.REGISTRY_STORE_URI_ENV_VAR: uri,
        constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: os.environ["MLFLOW_ARTIFACTS_DESTINATION"],
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
    }
    from mlflow.server.fastapi_app import app

    serve_app(app, port)


if __name__ == "__main__":
    main()
