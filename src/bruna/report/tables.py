"""Tables of the report as data frames: Table 1 of the paper, and flat metric names turned into rows."""

from collections.abc import Mapping, Sequence

import pandas as pd

from bruna.dataset.attributes import EXTRA_CLASSES
from bruna.metrics.attributes import METRICS, TaskMetrics, mean_metrics

TABLE1_ORDER: tuple[str, ...] = (
    "camera4",
    "camera6",
    "junk",
    "backpack",
    "bag",
    "handbag",
    "clothes",
    "down",
    "up",
    "hair",
    "hat",
    "gender",
    "upcolor",
    "downcolor",
    "age",
)
"""Tasks in the row order of the paper's Table 1."""
OVERALL = "Overall"
ATTRIBUTES_ONLY = "Mean of the 12 attributes"
_SHORT = {"accuracy": "acc", "precision": "prec", "recall": "rec", "majority": "majority"}


def table1(parts: Mapping[str, Sequence[TaskMetrics]]) -> pd.DataFrame:
    """Table 1 of the paper, with the majority share beside the accuracy.

    Args:
        parts: results of `task_metrics` by part, in column order, e.g. `{"train": ..., "validation": ...}`.

    Returns:
        15 rows in the paper's order, `Overall` (their mean) and the mean of the 12 real attributes; columns
        `task`, then `train/acc`, `train/prec`, `train/rec`, `train/majority`, ... as shares 0..1; NaN where a
        part has no annotation for a task.
    """
    columns: dict[str, list[str] | list[float]] = {}
    for part, results in parts.items():
        by_name = {result.task.name: result for result in results}
        ordered = [by_name[name] for name in TABLE1_ORDER]
        columns["task"] = [*(result.task.title for result in ordered), OVERALL, ATTRIBUTES_ONLY]
        overall = mean_metrics(ordered)
        real = mean_metrics([result for result in ordered if result.task.name not in EXTRA_CLASSES])
        for metric in METRICS:
            shares = [float(getattr(result, metric)) for result in ordered]
            columns[f"{part}/{_SHORT[metric]}"] = [*shares, overall[metric], real[metric]]
    return pd.DataFrame(columns)


def pivot_metrics(
    values: Mapping[str, float], columns: Mapping[str, str], rows: Mapping[str, str], corner: str = ""
) -> pd.DataFrame:
    """Turn flat metrics such as `market1501/map` into a table with a row a prefix and a column a metric.

    Args:
        values: the metrics; those of other prefixes or metrics are passed over.
        columns: last part of the name -> column title, in column order, e.g. `{"map": "mAP"}`.
        rows: prefix -> row title, in row order, e.g. `{"market1501": "Market-1501 protocol"}`.
        corner: title of the first column.

    Returns:
        The table; NaN where a metric is absent; rows and columns without any value are dropped.
    """
    frame = pd.DataFrame(
        {
            title: [values.get(f"{prefix}/{metric}", float("nan")) for prefix in rows]
            for metric, title in columns.items()
        },
        index=pd.Index(list(rows.values()), name=corner),
        dtype=float,
    )
    return frame.dropna(axis="index", how="all").dropna(axis="columns", how="all").reset_index()
