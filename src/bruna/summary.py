"""What the last run has measured, read for `bruna summary`: the headline metrics, or every figure."""

from pathlib import Path

from bruna.files import read_object
from bruna.headlines import FIGURES_FILE, HEADLINES, headline_intervals
from bruna.nested import flatten

STAGES = tuple(dict.fromkeys(headline.stage for headline in HEADLINES.values()))
"""The stages that measure, in the order of the pipeline."""


def headline_rows(metrics: Path, artifacts: Path) -> list[tuple[str, str, int | float, str, str]]:
    """Rows (stage, metric, value, interval, meaning), a stage named in its first row only.

    Args:
        metrics: the folder of metrics/<stage>.json; a stage that has no file has no row.
        artifacts: the folder of all stages' outputs, for the intervals; they are empty where the stage `evaluate` has
            none.

    Raises:
        BrunaError: a metrics file is damaged.
    """
    rows = []
    file = artifacts / "evaluate" / FIGURES_FILE
    figures = read_object(file) if file.exists() else {}
    for stage in STAGES:
        path = metrics / f"{stage}.json"
        found = read_object(path) if path.exists() else {}
        names = [name for name in HEADLINES if name in found]
        intervals = headline_intervals(figures, found)
        for i, name in enumerate(names):
            rows.append(
                (stage if i == 0 else "", name, found[name], str(intervals.get(name, "")), HEADLINES[name].meaning)
            )
    return rows


def warnings(artifacts: Path) -> list[str]:
    """What the stages' figures warn of, in the order of the pipeline.

    Args:
        artifacts: the folder of all stages' outputs; a stage that has no figures there warns of nothing.

    Raises:
        BrunaError: a file of figures is damaged.
    """
    files = [artifacts / stage / FIGURES_FILE for stage in STAGES]
    found = [read_object(file).get("warnings") for file in files if file.exists()]
    return [str(sentence) for sentences in found if isinstance(sentences, list) for sentence in sentences]


def all_rows(artifacts: Path) -> list[tuple[str, str, int | float | str]]:
    """Rows (stage, figure, value) of every number and text in the stages' figures, a stage named in its first row only.

    Args:
        artifacts: the folder of all stages' outputs.

    Raises:
        BrunaError: a file of figures is damaged.
    """
    rows = []
    for stage in STAGES:
        path = artifacts / stage / FIGURES_FILE
        figures = flatten(read_object(path)) if path.exists() else {}
        shown = {name: value for name, value in figures.items() if isinstance(value, int | float | str)}
        for i, (name, value) in enumerate(shown.items()):
            rows.append((stage if i == 0 else "", name, value))
    return rows
