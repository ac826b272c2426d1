"""Table 1 of the paper, from the records of Task 1's predictions."""

from collections.abc import Mapping

import pandas as pd

from bruna.dataset.predictions import read_predictions
from bruna.dataset.schema import mean_title
from bruna.metrics.attributes import METRICS, mean_metrics, task_metrics

OVERALL = "Overall"


def table1(sides: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Table 1 of the paper, with the majority share beside the accuracy.

    Args:
        sides: side of the split -> its predictions (see `bruna.dataset.predictions`), in column order.

    Returns:
        A row a task, then `Overall` (their mean) and the mean of the attributes; columns
        `task`, then `train/accuracy`, `train/precision`, `train/balanced_accuracy`, `train/majority`, ... as shares
        0..1; NaN where a side has no annotation for a task.
    """
    columns: dict[str, list[str] | list[float]] = {}
    for side, frame in sides.items():
        found = read_predictions(frame)
        results = task_metrics(found.true, found.predicted, found.tasks)
        attributes = [result for result in results if not result.task.added]
        columns["task"] = [*(result.task.title for result in results), OVERALL, mean_title(len(attributes))]
        overall, real = mean_metrics(results), mean_metrics(attributes)
        for metric in METRICS:
            shares = [float(getattr(result, metric)) for result in results]
            columns[f"{side}/{metric}"] = [*shares, overall[metric], real[metric]]
    return pd.DataFrame(columns)
