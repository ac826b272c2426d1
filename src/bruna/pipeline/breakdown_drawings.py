"""Who is found less well, for the page: the tables of `evaluate` and the pictures of them."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from bruna.errors import BrunaError
from bruna.metrics.bootstrap import FEWEST
from bruna.pipeline.records import Records
from bruna.report.breakdown_chart import breakdown_chart
from bruna.report.breakdown_section import FIGURES, Groups
from bruna.report.drawing import Drawing, Set


def recorded_groups(records: Records, sets: Mapping[Set, str]) -> dict[Set, Groups]:
    """What `evaluate` kept, of each set that has groups.

    Args:
        records: of all stages.
        sets: name -> what the set is called.
    """
    measured = records.figures("evaluate")
    found: dict[Set, Groups] = {}
    for name, words in sets.items():
        if facts := measured.get(name, {}).get("breakdown"):
            found[name] = Groups(_read(records.artifacts / "evaluate" / f"breakdown_{name}.csv"), facts, words)
    return found


def breakdown_drawings(found: Mapping[Set, Groups]) -> list[Drawing]:
    """A picture a set, where it has groups of enough people."""
    drawings = []
    for name, groups in found.items():
        enough = groups.table[groups.table["people"] >= FEWEST]
        if len(enough) < 2 or enough.index[0] != 0:
            continue
        drawings.append(
            Drawing(
                "evaluate",
                "test groups" if name == "test" else "groups",
                f"breakdown_{name}",
                f"Found less well or better, {groups.words}: each group of at least {FEWEST} people (how many they are "
                "in brackets) with its 95% interval. The band is the interval of all people. A color other than blue "
                "stands for a difference from all others that resampled people leave standing.",
                "Dots with intervals, a row a group: mAP, rank-1 and false match rate. The numbers stand in the table "
                "below.",
                partial(breakdown_chart, enough, f"By camera and attribute, {groups.words}"),
            )
        )
    return drawings


def _read(path: Path) -> pd.DataFrame:
    """A breakdown, the names of values as they stand: one may be called None."""
    texts = ["by", "value", *(f"{figure}_verdict" for figure in FIGURES)]
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(texts, str))
    except FileNotFoundError:
        raise BrunaError(f"{path} is missing. `dvc repro` makes it.") from None
    return table.fillna(dict.fromkeys(texts, ""))
