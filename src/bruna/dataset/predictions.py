"""The records of Task 1's predictions: what `train_attributes` keeps of a side of the split.

Columns: `path` of the image; `junk`, True for a zoom into it that is measured as junk; `true/<task>` and
`predicted/<task>` (int8 codes, -1 = not annotated) for each of `TASKS`; `logits`, all of the network's, float32.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.dataset.attributes import TASK_NAMES


def prediction_frame(
    paths: Sequence[str],
    junk: npt.NDArray[np.bool_],
    true: npt.NDArray[np.integer],
    predicted: npt.NDArray[np.integer],
    logits: npt.NDArray[np.float32],
) -> pd.DataFrame:
    """Lay out predictions as a table, for `write_table`.

    Args:
        paths: N paths; a zoom has that of the image zoomed into.
        junk: N, True for a zoom.
        true: N x 15 codes in the order of `TASKS`, -1 where not annotated.
        predicted: N x 15 codes.
        logits: N x 35, as `logit_slices(TASKS)` lays them out.
    """
    codes = {"true": true, "predicted": predicted}
    return pd.DataFrame(
        {
            "path": list(paths),
            "junk": junk,
            **{
                f"{kind}/{name}": c[:, i].astype(np.int8)
                for kind, c in codes.items()
                for i, name in enumerate(TASK_NAMES)
            },
            "logits": list(logits),
        }
    )


def codes_of(
    frame: pd.DataFrame,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The matrices of a `prediction_frame`: N x 15 true codes, N x 15 predicted codes, N x 35 logits."""
    true, predicted = (
        frame[[f"{kind}/{name}" for name in TASK_NAMES]].to_numpy(np.int64) for kind in ("true", "predicted")
    )
    return true, predicted, np.stack(frame["logits"].tolist())
