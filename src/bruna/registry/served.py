"""The model that MLflow loads and serves: MLflow runs this file ("models from code"), so nothing is pickled.

It is copied into the registered model with the package, and must run where Bruna is not installed.
"""

import base64
import binascii
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel

from bruna.dataset.decoding import read_file
from bruna.errors import BrunaError
from bruna.inference.described import Described
from bruna.inference.describer import Describer, load

COLUMN = "image"


class RegisteredModel(PythonModel):
    """All trained networks behind MLflow's `predict`."""

    people: Describer

    def load_context(self, context: Any) -> None:
        """Load the networks of `context.artifacts["models"]`."""
        self.people = load(context.artifacts["models"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Describe images.

        Args:
            context: of MLflow.
            model_input: a DataFrame with N rows and a column `image`: a text is an image file in base64, bytes are an
                image file, a `pathlib.Path` is its place. A request to a server is JSON, CSV or Parquet, which have
                no paths: a client cannot make it open a file.
            params: none are known.

        Returns:
            N rows: `attributes` (name -> value), `probabilities` (name -> value -> probability), `junk` (probability
            that no person is shown), `embedding` (list of F float32 numbers). A column whose network was not
            trained is left out.

        Raises:
            MlflowException: there is no column `image` or no row, or a row holds no image that can be read. As
                INVALID_PARAMETER_VALUE, which a server answers with status 400.
        """
        if COLUMN not in model_input:
            raise _refusal(f"there is no column {COLUMN!r}: give one with image files in base64")
        if model_input.empty:
            raise _refusal(f"the column {COLUMN!r} has no row: give at least one image")
        files = [_bytes_of(value, row) for row, value in enumerate(model_input[COLUMN])]
        try:
            found = self.people.describe(files, names=[f"in row {row}" for row in range(len(files))], masks=False)
        except BrunaError as error:
            raise _refusal(str(error)) from None
        return _table(found)


def _bytes_of(value: object, row: int) -> bytes:
    """The image file that a row holds; rows are counted from 0."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, Path):
        try:
            return read_file(value)
        except (OSError, ValueError) as error:
            raise _refusal(f"image in row {row} cannot be read: {error}") from None
    if not isinstance(value, str):
        raise _refusal(f"image in row {row} is {type(value).__name__}: give an image file in base64")
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise _refusal(f"image in row {row} is not base64: give the bytes of an image file, encoded") from None


def _refusal(reason: str) -> MlflowException:
    return MlflowException(reason, error_code=INVALID_PARAMETER_VALUE)


def _table(found: Described) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    rows = range(len(found))
    if found.schema:
        values, tables = found.attributes, found.probabilities
        sure = {name: table.to_dict("records") for name, table in tables.items()}
        columns["attributes"] = [{name: str(of[row]) for name, of in values.items()} for row in rows]
        columns["probabilities"] = [{name: of[row] for name, of in sure.items()} for row in rows]
    if found.task1_logits is not None:
        columns["junk"] = found.junk.astype(float)
    if found.gallery is not None:
        columns["embedding"] = found.features.tolist()
    return pd.DataFrame(columns)


set_model(RegisteredModel())
