"""Entry point of a registered model, stored with it ('models from code') and run by MLflow.

It imports one name only, so that stored copies keep working with later releases.
"""

import mlflow

from spinscope.tracking.serving import Served

mlflow.models.set_model(Served())
