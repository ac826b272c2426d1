"""Records of predictions, Table 1 and operating points: by hand, against the metrics, and with other schemas."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.predictions import prediction_frame, read_predictions
from bruna.dataset.schema import Task, Tasks, logit_count, logit_slices, mean_title, task1_tasks
from bruna.dataset.tables import read_table, write_table
from bruna.evaluation.attribute_tables import OVERALL, table1
from bruna.evaluation.operating_points import operating_points, shifts
from bruna.metrics.attributes import scores, task_metrics
from bruna.report.confidence import confidences
from bruna.report.confusion import confusion_grid
from bruna.report.operating_points import operating_chart
from course_schema import TASK1_LOGITS, TASK_NAMES, TASKS

MEAN = mean_title(len(ATTRIBUTES))


def _frame(
    true: np.ndarray, predicted: np.ndarray | None = None, logits: np.ndarray | None = None, tasks: Tasks = TASKS
) -> pd.DataFrame:
    rows = len(true)
    return prediction_frame(
        [f"{i:04d}.jpg" for i in range(rows)],
        np.zeros(rows, dtype=bool),
        true,
        np.zeros_like(true) if predicted is None else predicted,
        np.zeros((rows, logit_count(tasks)), dtype=np.float32) if logits is None else logits,
        tasks,
    )


def _random(rows: int, seed: int, tasks: Tasks = TASKS) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    true = np.stack([random.integers(-1, len(task.values), rows) for task in tasks], axis=1)
    predicted = np.stack([random.integers(0, len(task.values), rows) for task in tasks], axis=1)
    return _frame(true, predicted, random.normal(size=(rows, logit_count(tasks))).astype(np.float32), tasks)


def test_records_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    frame = _random(20, 0)
    write_table(frame, tmp_path / "predictions.parquet")
    back = read_table(tmp_path / "predictions.parquet")
    assert list(back.columns)[:3] == ["path", "junk", f"true/{TASK_NAMES[0]}"]
    tasks, *before = read_predictions(frame)
    tasks_again, *after = read_predictions(back)
    assert tasks == tasks_again == TASKS
    for matrix, again in zip(before, after, strict=True):
        assert matrix.dtype == again.dtype
        assert matrix.tobytes() == again.tobytes()
    assert [matrix.shape for matrix in after] == [(20, len(TASKS)), (20, len(TASKS)), (20, TASK1_LOGITS)]


def test_table1_has_a_row_a_task_in_the_schema_s_order_and_the_two_means() -> None:
    frames = {"train": _random(300, 1), "validation": _random(100, 2)}
    found = [read_predictions(frame) for frame in frames.values()]
    train, validation = (task_metrics(each.true, each.predicted, TASKS) for each in found)
    table = table1(frames)
    titles = "Age Backpack Bag Handbag Clothes Down Up Hair Hat Gender Upcolor Downcolor Camera4 Camera6 Junk"
    assert table["task"].tolist() == [*titles.split(), OVERALL, MEAN]
    kinds = ("accuracy", "precision", "balanced_accuracy", "majority")
    assert list(table.columns) == ["task", *(f"{p}/{k}" for p in ("train", "validation") for k in kinds)]
    table = table.set_index("task")
    assert table.loc["Bag", "validation/balanced_accuracy"] == validation[TASK_NAMES.index("bag")].balanced_accuracy
    column = table["train/accuracy"]
    assert column[OVERALL] == pytest.approx(column.iloc[:15].mean())
    assert column[MEAN] == pytest.approx(column.iloc[:12].mean())
    assert scores(train)["overall/accuracy"] == pytest.approx(column[OVERALL])
    assert scores(train)["attributes/accuracy"] == pytest.approx(column[MEAN])


def test_shifts_hold_the_chosen_point_and_the_same_totals_whatever_was_trained_with() -> None:
    assert shifts(0.0) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert shifts(1.0) == [-1.0, -0.9, -0.8, -0.7, -0.6, -0.5, -0.4, -0.3, -0.2, -0.1, 0.0]
    assert shifts(0.25)[:4] == [-0.25, -0.15, -0.05, 0.0]


def test_a_shift_by_hand() -> None:
    """One in ten wears a hat, and the head's logit is unsure: -1 for a bearer, -3 and -2 for the others."""
    true = np.zeros((11, len(TASKS)), dtype=np.int64)
    true[0, TASK_NAMES.index("hat")] = 1
    logits = np.full((11, TASK1_LOGITS), -5, dtype=np.float32)
    logits[:, logit_slices(TASKS)["hat"].start] = [-1.0] + [-3.0] * 6 + [-2.0] * 3 + [9.0]
    frame = _frame(true, logits=logits)
    frame.loc[10, "junk"] = True  # no image of the training: its codes count in no share, and here it has none
    frame.loc[10, [f"true/{name}" for name in TASK_NAMES]] = None
    points = operating_points({"train": frame, "validation": frame}, 0.0)
    hats = points[points["task"] == "Hat"].set_index("shift").loc[[0.0, 0.5, 1.0]]
    # log(1 / 9) is -2.2: t = 0 finds nobody, 0.5 the bearer alone (-1 + 1.1 > 0 > -2 + 1.1), 1 also the three at -2.
    assert hats["validation/accuracy"].tolist() == pytest.approx([0.9, 1.0, 0.7])
    assert hats["validation/balanced_accuracy"].tolist() == pytest.approx([0.5, 1.0, (1 + 6 / 9) / 2])


def test_shares_are_those_of_the_training_images_alone() -> None:
    frames = {"train": _random(50, 3), "validation": _random(20, 4)}
    zooms = frames["train"].head(10).assign(junk=True)  # annotated, so that they would change the shares
    with_zooms = {**frames, "train": pd.concat([frames["train"], zooms], ignore_index=True)}
    columns = ["task", "shift", "validation/accuracy", "validation/balanced_accuracy"]
    expected = operating_points(frames, 0.5)[columns]
    pd.testing.assert_frame_equal(operating_points(with_zooms, 0.5)[columns], expected)
    other = operating_points({**frames, "train": _random(50, 5)}, 0.5)[columns]
    assert not other.equals(expected)


def test_no_shift_is_the_networks_own_score_and_the_mean_comes_last() -> None:
    frame = _random(200, 6)
    points = operating_points({"train": frame}, 0.3)
    table_order = table1({"train": frame})["task"].tolist()[: len(ATTRIBUTES)]
    assert points["task"].unique().tolist() == [*table_order, MEAN]
    _, true, _, logits = read_predictions(frame)
    own = points[points["shift"] == 0].set_index("task")
    for i, (attribute, where) in enumerate(zip(ATTRIBUTES, logit_slices(ATTRIBUTES).values(), strict=True)):
        part = logits[:, where]
        predicted = (part[:, 0] > 0).astype(int) if attribute.binary else part.argmax(axis=1)
        found = task_metrics(true[:, [i]], predicted[:, None], [attribute])[0]
        assert (own.loc[attribute.title, "train/accuracy"], own.loc[attribute.title, "train/balanced_accuracy"]) == (
            found.accuracy,
            found.balanced_accuracy,
        )
    assert own.loc[MEAN, "train/accuracy"] == pytest.approx(own["train/accuracy"].iloc[:-1].mean())


def test_another_schema_appears_everywhere() -> None:
    """One attribute more, and other cameras."""
    schema = (*ATTRIBUTES, Task("sun_glasses", ("none", "clear", "dark")))
    tasks = task1_tasks(schema, (2,))
    frame = _random(60, 0, tasks)
    table, points = table1({"validation": frame}), operating_points(dict.fromkeys(("train", "validation"), frame), 0.0)
    mean = "Mean of the 13 attributes"
    assert table["task"].tolist() == [*(task.title for task in tasks), OVERALL, mean]
    assert table["task"].tolist()[-6:-2] == ["Downcolor", "Sun glasses", "Camera2", "Junk"]
    assert points["task"].unique().tolist()[-2:] == ["Sun glasses", mean]
    shares = table.set_index("task")["validation/accuracy"]
    assert shares.iloc[-1] == pytest.approx(shares.iloc[:13].mean())
    assert shares.iloc[-2] == pytest.approx(shares.iloc[:-2].mean())
    found = read_predictions(frame)
    figure = confusion_grid(task_metrics(found.true, found.predicted, found.tasks), "Confusion")
    assert "Sun glasses" in [axes.get_title(loc="left") for axes in figure.axes] and len(figure.axes) == 15
    assert "Sun glasses" in [axes.get_title(loc="left") for axes in operating_chart(points).axes]
    assert confidences(found.logits, tasks).shape == (60, 15)


@pytest.mark.parametrize("cameras", [(), (4, 6)])
def test_a_schema_of_two_attributes_by_hand(cameras: tuple[int, ...]) -> None:
    schema = (Task("glasses", ("none", "clear", "dark")), Task("bag", ("no", "yes")))
    tasks = task1_tasks(schema, cameras)
    added = [0] * (len(cameras) + 1)
    true = np.array([[0, 0, *added], [1, 0, *added], [2, 1, *added], [-1, 1, *added]])
    predicted = np.array([[0, 1, *added], [1, 0, *added], [1, 1, *added], [2, 1, *added]])
    table = table1({"validation": _frame(true, predicted, tasks=tasks)})
    names = [*("Glasses", "Bag"), *(f"Camera{camera}" for camera in cameras), "Junk"]
    assert table["task"].tolist() == [*names, OVERALL, "Mean of the 2 attributes"]
    accuracy = [2 / 3, 3 / 4, *(1 for _ in added)]
    means = [sum(accuracy) / len(accuracy), (2 / 3 + 3 / 4) / 2]
    assert table["validation/accuracy"].tolist() == pytest.approx([*accuracy, *means])
