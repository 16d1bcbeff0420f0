"""What MLflow runs for a registered model: a frame (H, W) in [0, 1] in, its class mask out.

MLflow keeps this file with the model ('models from code') and executes it when the model is
loaded, so nothing is pickled; the weights are a model folder among the artifacts. It is not
meant to be imported elsewhere.
"""

import mlflow
import numpy as np


class Served(mlflow.pyfunc.PythonModel):
    """(H, W) float32 → (H, W) uint8 class index; parameter `tta` is 1, 3 or 8."""

    def load_context(self, context) -> None:
        """Load the network once, its checksums verified."""
        from spinscope.inference.predict import Predictor

        self.predictor = Predictor.load(context.artifacts["model"])

    def predict(self, context, model_input: np.ndarray, params=None) -> np.ndarray:
        """Class of every pixel."""
        image = np.asarray(model_input, dtype=np.float32)
        return self.predictor.classes(image, tta=int((params or {}).get("tta", 1)))


mlflow.models.set_model(Served())
