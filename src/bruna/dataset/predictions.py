"""The records of Task 1's predictions: what `train_attributes` keeps of a side of the split.

Columns: `path` of the image; `junk`, True for a zoom into it that is measured as junk; `true/<task>` (null where not
annotated) and `predicted/<task>` for each task, categories in the order of its codes; `logits`, all of the network's,
float32.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.dataset.schema import Task, Tasks
from bruna.dataset.tables import attribute_codes, attribute_columns, attributes_of

_TRUE, _PREDICTED = "true/", "predicted/"


class Predictions(NamedTuple):
    """The matrices of a `prediction_frame`.

    Attributes:
        tasks: T tasks.
        true: N x T codes, -1 where not annotated.
        predicted: N x T codes.
        logits: N x L, float32.
    """

    tasks: Tasks
    true: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]


def prediction_frame(
    paths: Sequence[str],
    junk: npt.NDArray[np.bool_],
    true: npt.NDArray[np.integer],
    predicted: npt.NDArray[np.integer],
    logits: npt.NDArray[np.float32],
    tasks: Sequence[Task],
) -> pd.DataFrame:
    """Lay out predictions as a table, for `write_table`.

    Args:
        paths: N paths; a zoom has that of the image zoomed into.
        junk: N, True for a zoom.
        true: N x T codes, -1 where not annotated.
        predicted: N x T codes.
        logits: N x L, as `logit_slices(tasks)` lays them out.
        tasks: T tasks.
    """
    return pd.DataFrame(
        {
            "path": list(paths),
            "junk": junk,
            **predicted_columns(true, predicted, tasks),
            "logits": list(logits),
        }
    )


def predicted_columns(
    true: npt.NDArray[np.integer], predicted: npt.NDArray[np.integer], tasks: Sequence[Task]
) -> "dict[str, pd.Categorical[str]]":
    """The columns `true/<task>` and `predicted/<task>` of N x T codes, -1 where not annotated."""
    return {**attribute_columns(true, tasks, _TRUE), **attribute_columns(predicted, tasks, _PREDICTED)}


def read_predictions(frame: pd.DataFrame) -> Predictions:
    """The matrices of a `prediction_frame`."""
    true, predicted = (attribute_codes(frame, prefix) for prefix in (_TRUE, _PREDICTED))
    return Predictions(attributes_of(frame, _TRUE), true, predicted, np.stack(frame["logits"].tolist()))
