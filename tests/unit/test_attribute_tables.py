"""Records of predictions, Table 1 and operating points: by hand, against the metrics, and with an added attribute."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bruna.dataset.attributes import ATTRIBUTES, EXTRA_CLASSES, TASK_NAMES, TASKS, logit_slices
from bruna.dataset.predictions import codes_of, prediction_frame
from bruna.dataset.tables import read_table, write_table
from bruna.evaluation.attribute_tables import OVERALL, mean_title, table1
from bruna.evaluation.operating_points import operating_points, shifts
from bruna.metrics.attributes import scores, task_metrics

MEAN = mean_title(len(ATTRIBUTES))
WIDTH = sum(task.width for task in TASKS)


def _frame(true: np.ndarray, predicted: np.ndarray | None = None, logits: np.ndarray | None = None) -> pd.DataFrame:
    rows = len(true)
    return prediction_frame(
        [f"{i:04d}.jpg" for i in range(rows)],
        np.zeros(rows, dtype=bool),
        true,
        np.zeros_like(true) if predicted is None else predicted,
        np.zeros((rows, WIDTH), dtype=np.float32) if logits is None else logits,
    )


def _random(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    true = np.stack([random.integers(-1, len(task.values), rows) for task in TASKS], axis=1)
    predicted = np.stack([random.integers(0, len(task.values), rows) for task in TASKS], axis=1)
    return _frame(true, predicted, random.normal(size=(rows, WIDTH)).astype(np.float32))


def test_records_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    frame = _random(20, 0)
    write_table(frame, tmp_path / "predictions.parquet")
    back = read_table(tmp_path / "predictions.parquet")
    assert list(back.columns)[:3] == ["path", "junk", f"true/{TASK_NAMES[0]}"]
    for before, after in zip(codes_of(frame), codes_of(back), strict=True):
        assert before.dtype == after.dtype
        assert before.tobytes() == after.tobytes()
    assert [codes.shape for codes in codes_of(back)] == [(20, len(TASKS)), (20, len(TASKS)), (20, WIDTH)]


def test_table1_has_the_papers_rows_and_the_two_means() -> None:
    frames = {"train": _random(300, 1), "validation": _random(100, 2)}
    train, validation = (task_metrics(*codes_of(frame)[:2]) for frame in frames.values())
    table = table1(frames)
    paper = "Camera4 Camera6 Junk Backpack Bag Handbag Clothes Down Up Hair Hat Gender Up-color Down-color Age"
    assert table["task"].tolist() == [*paper.split(), OVERALL, MEAN]
    kinds = ("accuracy", "precision", "balanced_accuracy", "majority")
    assert list(table.columns) == ["task", *(f"{p}/{k}" for p in ("train", "validation") for k in kinds)]
    table = table.set_index("task")
    assert table.loc["Bag", "validation/balanced_accuracy"] == validation[TASK_NAMES.index("bag")].balanced_accuracy
    column = table["train/accuracy"]
    assert column[OVERALL] == pytest.approx(column.iloc[:15].mean())
    assert column[MEAN] == pytest.approx(column.iloc[3:15].mean())
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
    logits = np.full((11, WIDTH), -5, dtype=np.float32)
    logits[:, logit_slices()["hat"].start] = [-1.0] + [-3.0] * 6 + [-2.0] * 3 + [9.0]
    frame = _frame(true, logits=logits)
    frame.loc[10, "junk"] = True  # no image of the training: its codes count in no share, and here it has none
    frame.loc[10, [f"true/{name}" for name in TASK_NAMES]] = -1
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
    table_order = table1({"train": frame})["task"].tolist()[len(EXTRA_CLASSES) : len(TASKS)]
    assert points["task"].unique().tolist() == [*table_order, MEAN]
    true, _, logits = codes_of(frame)
    own = points[points["shift"] == 0].set_index("task")
    for i, (attribute, where) in enumerate(zip(ATTRIBUTES, logit_slices().values(), strict=True)):
        part = logits[:, where]
        predicted = (part[:, 0] > 0).astype(int) if attribute.binary else part.argmax(axis=1)
        found = task_metrics(true[:, [i]], predicted[:, None], [attribute])[0]
        assert (own.loc[attribute.title, "train/accuracy"], own.loc[attribute.title, "train/balanced_accuracy"]) == (
            found.accuracy,
            found.balanced_accuracy,
        )
    assert own.loc[MEAN, "train/accuracy"] == pytest.approx(own["train/accuracy"].iloc[:-1].mean())


_WITH_GLASSES = """
import sys, types
from pathlib import Path
import bruna.dataset

name = "bruna.dataset.attributes"
path = Path(bruna.dataset.__file__).with_name("attributes.py")
text = path.read_text(encoding="utf-8")
line = '    _binary("hat", "no", "yes"),'
assert text.count(line) == 1
sys.modules[name] = bruna.dataset.attributes = types.ModuleType(name)
added = line + chr(10) + '    Attribute("glasses", ("none", "clear", "dark"), "Glasses", ("glasses",)),'
exec(compile(text.replace(line, added), path, "exec"), sys.modules[name].__dict__)

import numpy as np
from bruna.dataset.attributes import TASKS
from bruna.dataset.predictions import codes_of, prediction_frame
from bruna.evaluation.attribute_tables import table1
from bruna.evaluation.operating_points import operating_points
from bruna.metrics.attributes import task_metrics
from bruna.report.confidence import confidences
from bruna.report.confusion import confusion_grid
from bruna.report.operating_points import operating_chart

random = np.random.default_rng(0)
codes = [np.stack([random.integers(0, len(task.values), 60) for task in TASKS], axis=1) for _ in range(2)]
logits = random.normal(size=(60, sum(task.width for task in TASKS))).astype(np.float32)
frame = prediction_frame(["a"] * 60, np.zeros(60, dtype=bool), *codes, logits)
table, points = table1({"validation": frame}), operating_points(dict.fromkeys(("train", "validation"), frame), 0.0)
shares = table.set_index("task")["validation/accuracy"]
print(*table["task"], *points["task"].unique()[-2:], sep="|")
print(np.isclose(shares.iloc[-1], shares.iloc[3:-2].mean()), np.isclose(shares.iloc[-2], shares.iloc[:-2].mean()))
figure = confusion_grid(task_metrics(*codes_of(frame)[:2]), "Confusion")
print("Glasses" in [axes.get_title(loc="left") for axes in figure.axes], len(figure.axes))
print("Glasses" in [axes.get_title(loc="left") for axes in operating_chart(points).axes])
print(confidences(logits).shape)
"""


def test_an_attribute_added_to_the_schema_appears_everywhere() -> None:
    """In a process of its own: the schema is read when the rest is imported."""
    process = subprocess.run([sys.executable, "-c", _WITH_GLASSES], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    titles, means, confusion, curves, shape = process.stdout.splitlines()
    mean = "Mean of the 13 attributes"
    assert titles.split("|")[-6:] == ["Age", "Glasses", OVERALL, mean, "Glasses", mean]
    assert (means, confusion, curves, shape) == ("True True", "True 16", "True", "(60, 16)")
