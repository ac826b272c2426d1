"""The trade between accuracy and balanced accuracy, worked by hand and against Table 1's measures."""

import numpy as np
import pytest
import torch

from bruna.dataset.attributes import ATTRIBUTES, LOGITS, logit_slices
from bruna.dataset.priors import log_priors
from bruna.metrics.attributes import task_metrics
from bruna.models.attribute_logits import attribute_predictions
from bruna.report.operating_points import operating_curves, operating_points, shifts
from bruna.report.tables import ATTRIBUTES_ONLY


def test_shifts_hold_the_chosen_point_and_the_same_totals_whatever_was_trained_with() -> None:
    assert shifts(0.0) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert shifts(1.0) == [-1.0, -0.9, -0.8, -0.7, -0.6, -0.5, -0.4, -0.3, -0.2, -0.1, 0.0]
    assert shifts(0.25)[:4] == [-0.25, -0.15, -0.05, 0.0]


def test_a_shift_by_hand() -> None:
    """One in ten wears a hat, and the head's logit is unsure: -1 for a bearer, -3 and -2 for the others."""
    truth = np.zeros((10, 15), dtype=np.int64)
    truth[0, 8] = 1
    logits = torch.full((10, LOGITS), -5.0)
    hat = logit_slices()["hat"].start
    logits[:, hat] = torch.tensor([-1.0] + [-3.0] * 6 + [-2.0] * 3)
    priors = torch.tensor(log_priors(truth[:, :12]), dtype=torch.float32)
    assert float(priors[hat]) == pytest.approx(np.log(1 / 9))  # -2.197
    predicted = {t: attribute_predictions(logits - t * priors).numpy() for t in (0.0, 0.5, 1.0)}
    points = operating_points({"train": (truth, predicted), "validation": (truth, predicted)})
    hats = points[points["task"] == "Hat"].set_index("shift")
    # t = 0 finds nobody, 0.5 the bearer alone (-1 + 1.1 > 0 > -2 + 1.1), 1 also the three at -2.
    assert hats["validation/acc"].tolist() == pytest.approx([0.9, 1.0, 0.7])
    assert hats["validation/rec"].tolist() == pytest.approx([0.5, 1.0, (1 + 6 / 9) / 2])
    assert points["task"].nunique() == 13 and len(points) == 39
    assert points["task"].iloc[-1] == ATTRIBUTES_ONLY


def test_no_shift_is_table_1_and_the_mean_is_that_of_the_12() -> None:
    random = np.random.default_rng(0)
    values = [len(a.values) for a in ATTRIBUTES]
    truth = np.column_stack([random.integers(-1, n, 200) for n in values] + [np.full((200, 3), -1)])
    logits = torch.from_numpy(random.normal(size=(200, LOGITS)).astype(np.float32))
    plain = attribute_predictions(logits).numpy()
    points = operating_points({"validation": (truth, {0.0: plain})}).set_index("task")
    results = task_metrics(truth, np.column_stack([plain, np.zeros((200, 3), dtype=np.int64)]))[:12]
    for result in results:
        row = points.loc[result.task.title]
        assert (row["validation/acc"], row["validation/rec"]) == (result.accuracy, result.recall)
    mean = points.loc[ATTRIBUTES_ONLY]
    assert mean["validation/acc"] == pytest.approx(np.mean([result.accuracy for result in results]))


def test_panels_are_the_annotated_attributes_their_mean_and_a_key() -> None:
    truth = np.zeros((4, 15), dtype=np.int64)
    truth[:2] = 1
    truth[:, 5] = -1
    codes = truth[:, :12].clip(min=0)
    figure = operating_curves(operating_points({"validation": (truth, {0.0: codes, 1.0: 1 - codes})}))
    titles = [place.get_title(loc="left") for place in figure.axes]
    assert [title for title in titles if title][-1] == "Mean of the 12"
    assert len([title for title in titles if title]) == 12 and "Down" not in titles
