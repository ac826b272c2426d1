"""The chart of operating points: its panels, and where the chosen point is drawn."""

import numpy as np
import pandas as pd

from bruna.report.operating_points import operating_curves


def test_panels_are_the_annotated_attributes_their_mean_and_a_key() -> None:
    points = pd.DataFrame(
        [("Hat", -0.5, 0.9, 0.5), ("Hat", 0.0, 0.8, 0.6), ("Hat", 0.5, 0.6, 0.7)]
        + [("Down", t, np.nan, np.nan) for t in (-0.5, 0.0, 0.5)]
        + [("Mean of the 2 attributes", t, 0.5, 0.5) for t in (-0.5, 0.0, 0.5)],
        columns=["task", "shift", "validation/acc", "validation/rec"],
    )
    figure = operating_curves(points)
    titles = [place.get_title(loc="left") for place in figure.axes]
    assert [title for title in titles if title] == ["Hat", "Mean of the 2"]
    curve, chosen, last = figure.axes[0].lines
    assert curve.get_xydata().tolist() == [[0.5, 0.9], [0.6, 0.8], [0.7, 0.6]]
    assert chosen.get_xydata().tolist() == [[0.6, 0.8]]
    assert last.get_xydata().tolist() == [[0.7, 0.6]]
    assert figure.axes[2].get_legend() is not None
