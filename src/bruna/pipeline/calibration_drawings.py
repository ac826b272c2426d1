"""The pictures of the threshold: ROC and reliability, from the tables that `evaluate` keeps."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from bruna.report.calibration_charts import reliability_chart, roc_chart
from bruna.report.drawing import Drawing
from bruna.retrieval.calibration import smallest_rate


def calibration_drawings(
    found: Mapping[str, Any], curve: pd.DataFrame, reliability: pd.DataFrame, words: str
) -> list[Drawing]:
    """ROC and reliability of one set.

    Args:
        found: the figures `verification` of the set.
        curve: of `Verification.curve`.
        reliability: of `Calibrated`.
        words: what the set is called in titles.
    """
    drawing = partial(Drawing, "evaluate", "verification")
    smallest = smallest_rate(found["identity_pairs"])
    return [
        drawing(
            "roc",
            "How many pairs of one person are accepted at which false match rate. The band holds 95% of what resampled "
            "people give.",
            f"Rising line chart, its horizontal axis logarithmic. Equal error rate {found['eer']['value']:.1%}.",
            partial(roc_chart, curve, found, smallest, f"ROC, {words}"),
        ),
        drawing(
            "reliability",
            "What a probability is worth: on the diagonal, 70% means 7 pairs in 10. Measured on people that it was not "
            "fitted to; the numbers are pairs.",
            f"Line chart beside the diagonal. Calibration error {found['ece'][found['method']]:.2%}.",
            partial(reliability_chart, reliability, f"Reliability, {words}"),
        ),
    ]
