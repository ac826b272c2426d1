"""The report page's section on who is found less well: by camera, and by each value of each attribute."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bruna.dataset.schema import title
from bruna.errors import counted
from bruna.metrics.bootstrap import FEWEST
from bruna.report.blocks import Block, Folded, Heading, Note, Table
from bruna.report.drawing import Pictures, Set
from bruna.report.page import Section
from bruna.report.words import words

FIGURES = {"map": "mAP", "rank1": "rank-1", "fmr": "false match rate"}
"""What is told of every group, as in a sentence."""
_WORDS = ("AP, mAP", "rank-1, rank-5, CMC", "false match rate (FMR)")
_COMPARED = ("better", "worse", "noise")
_PLACES: Mapping[Set, str] = {"validation": "groups", "test": "test groups"}


@dataclass(frozen=True)
class Groups:
    """The breakdown of one set.

    Attributes:
        table: of `bruna.evaluation.breakdown`, the first row that of all people.
        facts: its figures: the threshold, and the false match rate that it stands for.
        words: what the set is called.
    """

    table: pd.DataFrame
    facts: Mapping[str, Any]
    words: str


def breakdown_sections(found: Mapping[Set, Groups], pictures: Pictures) -> list[Section]:
    """Compose the section; none where no set has groups."""
    blocks: list[Block] = []
    for name, groups in found.items():
        blocks += [] if name == "validation" else [Heading(groups.words.capitalize())]
        blocks += [*_sentences(groups), *pictures.get(_PLACES[name], []), *_table(groups)]  # type: ignore[call-overload]
    if not blocks:
        return []
    note = Note(
        "A group differs for all that goes with it: people with a backpack may often be those of the darkest camera. "
        "Groups overlap. The table says where to look, not why."
    )
    return [Section("Who is found less well", [words(*_WORDS), *blocks, note])]


def _sentences(groups: Groups) -> list[Block]:
    """What stands out, and how much of that chance alone would do."""
    everybody = groups.table.iloc[0]
    said: list[Block] = [
        f"{everybody['queries']:,} queries of {everybody['people']:,} people ({groups.words}), by their camera and by "
        "their true attributes, each group beside all other queries. Intervals come from resampled people; a group of "
        f"fewer than {FEWEST} people has none."
    ]
    if "threshold" in groups.facts:
        at = "the two error rates of all pairs are equal, for there are too few people for 1%"
        if rate := groups.facts.get("rate"):
            at = f"all pairs together have {rate:.0%}"
        said.append(
            "The false match rate is that of the pairs of two people with an image of the group, at one distance for "
            f"all groups, where {at}."
        )
    return [*said, *stand_outs(groups)]


def stand_outs(groups: Groups) -> list[str]:
    """Which groups are clearly worse, a sentence for each figure or for several alike; none where too few are compared.

    `mAP, rank-1: of 47 groups 12 could be compared, and none is clearly worse than all others. 0 of 12 groups ...`
    """
    found: dict[str, list[str]] = {}
    for name, called in FIGURES.items():
        if groups.facts[name]["compared"]:
            found.setdefault(_stand_out(groups.table, name), []).append(called)
    return [f"{_start(', '.join(names))}: {text}" for text, names in found.items()]


def _start(text: str) -> str:
    return text if text.startswith("mAP") else text[:1].upper() + text[1:]


def _stand_out(table: pd.DataFrame, name: str) -> str:
    """Which groups are clearly worse in a figure, worst first, and how many stand out where chance alone makes some."""
    verdicts = table[f"{name}_verdict"]
    compared, out = int(verdicts.isin(_COMPARED).sum()), int(verdicts.isin(("better", "worse")).sum())
    worse = table[verdicts == "worse"]
    order = worse[f"{name}_difference"].abs().sort_values(ascending=False, kind="stable").index
    named = [
        f"{title(row['by'])} {row['value']} ({_points(row, name)} points)" for _, row in worse.loc[order].iterrows()
    ]
    few = int((verdicts == "too few people").sum())
    clearly = f"clearly worse than all others: {'; '.join(named)}"
    if not named:
        could = f"{compared} could be compared, and " if few else ""
        clearly = f"of {counted(compared + few, 'groups')} {could}none is clearly worse than all others"
    return (
        f"{clearly}. {out} of {counted(compared, 'groups')} stand out, better or worse; "
        f"{0.05 * compared:.1f} would by chance alone.{_not_compared(few)}"
    )


def _not_compared(groups: int) -> str:
    """A sentence on the groups without a verdict; they are counted here and nowhere else."""
    if not groups:
        return ""
    more = f"{groups} more {'is' if groups == 1 else 'are'}"
    return f" {more} not compared: fewer than {FEWEST} people are in the group, or outside it."


def _table(groups: Groups) -> list[Block]:
    rows = []
    for _, row in groups.table.iterrows():
        cells: dict[str, Any] = {"": "All" if row["by"] == "all" else f"{title(row['by'])}: {row['value']}"}
        cells |= {"people": row["people"], "queries": row["queries"]}
        for name, called in FIGURES.items():
            if not np.isnan(groups.table[name].iloc[0]):
                cells[f"{called}/95% interval"] = _with_interval(row, name)
                cells[f"{called}/less the others"] = _against(row, name)
        rows.append(cells)
    table = Table(pd.DataFrame(rows), f"By camera and attribute, {groups.words}", strong=["All"])
    return [Folded(f"All {counted(len(rows) - 1, 'groups')}", [table])]


def _with_interval(row: "pd.Series[Any]", name: str) -> str:
    value = "–" if np.isnan(row[name]) else f"{row[name]:.{_digits(name)}%}"
    if np.isnan(row[f"{name}_low"]):
        return value
    less = _digits(name) - (name != "fmr")
    return f"{value} ({100 * row[f'{name}_low']:.{less}f}–{row[f'{name}_high']:.{less}%})"


def _against(row: "pd.Series[Any]", name: str) -> str:
    word = row[f"{name}_verdict"]
    if word not in _COMPARED:
        return str(word).removesuffix(" people") or "–"
    return f"{_points(row, name)} {word}"


def _points(row: "pd.Series[Any]", name: str) -> str:
    """The difference from the others in percentage points."""
    return f"{100 * row[f'{name}_difference']:+.{_digits(name)}f}".replace("-", "−")


def _digits(name: str) -> int:
    return 2 if name == "fmr" else 1
