"""The chart of operating points: its panels, its dots, and where the chosen point is marked."""

import numpy as np
import pandas as pd

from bruna.report.operating_points import operating_chart


def test_panels_are_the_annotated_attributes_their_mean_and_a_key() -> None:
    points = pd.DataFrame(
        [("Hat", -0.5, 0.9, 0.5), ("Hat", 0.0, 0.8, 0.6), ("Hat", 0.5, 0.6, 0.7)]
        + [("Down", t, np.nan, np.nan) for t in (-0.5, 0.0, 0.5)]
        + [("Mean of the 2 attributes", t, 0.5, 0.5) for t in (-0.5, 0.0, 0.5)],
        columns=["task", "shift", "validation/accuracy", "validation/balanced_accuracy"],
    )
    figure = operating_chart(points)
    titles = [place.get_title(loc="left") for place in figure.axes]
    assert [title for title in titles if title] == ["Hat", "Mean"]
    hat = figure.axes[0]
    assert [line.get_xydata().tolist() for line in hat.lines] == [
        [[0, 0.9], [0.5, 0.8], [1, 0.6]],
        [[0, 0.5], [0.5, 0.6], [1, 0.7]],
    ]
    assert {line.get_linestyle() for line in hat.lines} == {"None"}  # nothing lies between the points
    band = hat.patches[0].get_extents().transformed(hat.transData.inverted())
    assert (band.x0 + band.x1) / 2 == 0.5  # the shift 0
    assert hat.get_title(loc="right") == "80%, bal. 60%"
    assert figure.axes[2].get_legend() is not None
