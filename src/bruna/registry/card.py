"""What MLflow's pages tell of a version: headline figures, and as much of the model card as a description holds."""

import re
from collections.abc import Mapping
from pathlib import Path

from bruna.files import read_object
from bruna.headlines import FIGURES_FILE, HEADLINES, headline_intervals

CARD = "model_card.md"
_LONGEST = 4_500
"""Characters of a description; a server's database takes 5,000."""
_BASELINES = {"untrained_map": "mAP, untrained network", "histogram_map": "mAP, color histograms"}
"""As the card calls them."""
_ASIDE = ("Models", "Data")
"""Sections that are tables of the training: a reader of a version wants the others first."""


def headline_figures(metrics: Path, evaluate: Path) -> dict[str, float]:
    """The headline metrics by name, with the ends of their intervals as `NAME_low` and `NAME_high`.

    Args:
        metrics: the folder with a JSON file a stage.
        evaluate: `artifacts/evaluate`, which has the intervals.

    Raises:
        BrunaError: a file is damaged.
    """
    found: dict[str, float] = {}
    for file in sorted(metrics.glob("*.json")):
        found |= {name: float(value) for name, value in read_object(file).items() if name in HEADLINES}
    figures = evaluate / FIGURES_FILE
    intervals = headline_intervals(read_object(figures), found) if figures.exists() else {}
    for name, interval in intervals.items():
        if interval.low is not None and interval.high is not None:
            found |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return found


def description(card: str, figures: Mapping[str, float]) -> str:
    """The text of a version, in Markdown: title, headline figures, and whole sections of the card while they fit.

    Args:
        card: the model card.
        figures: as `headline_figures` gives them.

    >>> print(description("# Card\\n\\n## Use\\n\\nWith care.\\n", {"map": 0.5, "map_low": 0.4, "map_high": 0.6}))
    # Card
    <BLANKLINE>
    | figure | value | 95% interval |
    | --- | --- | --- |
    | mAP | 50.0% | 40.0–60.0% |
    <BLANKLINE>
    ## Use
    <BLANKLINE>
    With care.
    <BLANKLINE>
    The whole card is `artifacts/models/model_card.md` among the files of the model.
    """
    title, *sections = re.split(r"^(?=## )", card, flags=re.MULTILINE)
    where = f"The whole card is `artifacts/models/{CARD}` among the files of the model."
    parts = [title.strip(), _table(figures)]
    left = _LONGEST - len("\n\n".join([*parts, where]))
    for section in map(str.strip, sections):
        if section.partition("\n")[0].removeprefix("## ") not in _ASIDE and len(section) + 2 <= left:
            parts.append(section)
            left -= len(section) + 2
    return "\n\n".join([*filter(None, parts), where])[:_LONGEST]


def _table(figures: Mapping[str, float]) -> str:
    rows = ["| figure | value | 95% interval |", "| --- | --- | --- |"]
    for name, headline in HEADLINES.items():
        if f"{name}_low" in figures:
            interval = f"{100 * figures[f'{name}_low']:.1f}–{figures[f'{name}_high']:.1%}"
            rows.append(f"| {_BASELINES.get(name, headline.title)} | {figures[name]:.1%} | {interval} |")
    return "\n".join(rows) if len(rows) > 2 else ""
