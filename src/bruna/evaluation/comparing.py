"""Two evaluations beside each other: which headline metrics differ by more than other people would make them differ.

Both are resampled by the same draws of the same people, so what is hard about a person is on both sides and cancels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.dataset.tables import read_table
from bruna.errors import BrunaError
from bruna.evaluation.breakdown import TOO_FEW, verdict
from bruna.headlines import BY_IDENTITY, FIGURES_FILE, HEADLINES
from bruna.metrics.bootstrap import Sums, difference, resampled

EQUAL = "equal"
OTHER_GALLERY = "other gallery"
NOBODY = "nobody in common"
_PLACES = ("", "evaluate", "artifacts/evaluate", "evaluate/evaluate")
_CELL = ["group", "cell"]
_COLUMNS = ("headline", "unit", *_CELL, "sum", "count", "contents", "among")


@dataclass(frozen=True)
class Compared:
    """One headline metric of two evaluations, on what both have.

    Attributes:
        name: of the metric.
        word: `better`, `worse`, `noise`, `equal`, or why it is not compared.
        units: identities (of the U-Net, mask pairs) that it was measured on.
        left_out: those that only one has, or with other images or other annotations.
        groups_left_out: attributes that only one has.
        values: of a and b; None where it is not compared.
        difference: b - a, and the ends of its 95% interval; None where there are too few people.
    """

    name: str
    word: str
    units: int = 0
    left_out: int = 0
    groups_left_out: Sequence[str] = ()
    values: tuple[float, float] | None = None
    difference: tuple[float, float, float] | None = None


def read_by_identity(folder: Path) -> pd.DataFrame:
    """What the metrics of an evaluation were on every identity.

    Args:
        folder: of all stages' outputs, of those of `evaluate`, of a project, or of what an MLflow run keeps.

    Raises:
        BrunaError: it has no such file, or the file is damaged.
    """
    file = next((found for place in _PLACES if (found := folder / place / BY_IDENTITY).is_file()), None)
    if file is None:
        raise BrunaError(_without(folder))
    table = read_table(file)
    if lacking := [name for name in _COLUMNS if name not in table]:
        raise BrunaError(
            f"{file} is damaged: it lacks {', '.join(lacking)}. `dvc repro evaluate` writes it where it was made, and "
            "`dvc checkout` brings it back from DVC's cache."
        )
    return table[list(_COLUMNS)]


def _without(folder: Path) -> str:
    """Why a folder cannot be compared, and what to do."""
    lacks = f"{folder} has no evaluate/{BY_IDENTITY}, which `bruna compare` reads"
    if any((folder / place / FIGURES_FILE).is_file() for place in _PLACES):
        return f"{lacks}: an older version of Bruna evaluated it. Run `dvc repro evaluate` there with this version."
    if (folder / "dvc.yaml").is_file():
        return f"{lacks}: it is a project that was not evaluated yet. Run `dvc repro` there."
    return (
        f"{lacks}: it is no folder of artifacts. Give one, such as artifacts, or an MLflow run; `bruna compare` alone "
        "lists the runs."
    )


def compare(a: pd.DataFrame, b: pd.DataFrame) -> list[Compared]:
    """Compare every headline metric that both have, in the order of `HEADLINES`.

    Args:
        a, b: of `read_by_identity`; differences are b - a.

    Raises:
        BrunaError: they have no metric, or nobody, in common.
    """
    both = [name for name in HEADLINES if (a["headline"] == name).any() and (b["headline"] == name).any()]
    found = [_compare(name, a[a["headline"] == name], b[b["headline"] == name]) for name in both]
    if all(each.units == 0 for each in found):
        raise BrunaError(
            "the two have no people in common, or have other images or annotations of them: they were measured on "
            "different data sets or splits, and nothing can be compared."
        )
    return found


def _compare(name: str, a: pd.DataFrame, b: pd.DataFrame) -> Compared:
    if a["among"].iloc[0] != b["among"].iloc[0]:
        return Compared(name, OTHER_GALLERY)
    groups = set(a["group"]) & set(b["group"])
    lost = [str(group) for group in dict.fromkeys([*a["group"], *b["group"]]) if group not in groups]
    sides = [side[side["group"].isin(groups)] for side in (a, b)]
    cells = pd.concat(sides)[_CELL].drop_duplicates()
    units = [pd.Index(side["unit"].unique()) for side in sides]
    first, second = (_Side.of(side, units[0][units[0].isin(units[1])], cells) for side in sides)
    same = (first.contents == second.contents) & (first.sums.counts == second.sums.counts).all(axis=1)
    people = int(same.sum())
    left_out = len(units[0].union(units[1])) - people
    if not people:
        return Compared(name, NOBODY, 0, left_out, lost)
    pair = [side.sums.select(same) for side in (second, first)]
    values = pair[0].value, pair[1].value
    ends = difference(*values, resampled(pair), people)
    word = TOO_FEW if ends is None else EQUAL if ends[1] == ends[2] == 0 else verdict(*ends[1:])
    return Compared(name, word, people, left_out, lost, (values[1], values[0]), ends)


@dataclass(frozen=True, eq=False)
class _Side:
    sums: Sums
    contents: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, table: pd.DataFrame, units: "pd.Index[str]", cells: pd.DataFrame) -> "_Side":
        """The sums of some units, and of all cells that either side has."""
        table = table[table["unit"].isin(units)]
        place = units.get_indexer(pd.Index(table["unit"]))
        columns = pd.MultiIndex.from_frame(cells)
        column = columns.get_indexer(pd.MultiIndex.from_frame(table[_CELL]))
        sums, counts = np.zeros((2, len(units), len(cells)))
        sums[place, column], counts[place, column] = table["sum"], table["count"]
        contents = np.zeros(len(units), dtype=np.uint64)
        contents[place] = table["contents"]
        names = list(dict.fromkeys(cells["group"]))
        groups = np.array([names.index(group) for group in cells["group"]], dtype=np.int64)
        return cls(Sums(groups, sums, counts), contents)


def sentences(found: Sequence[Compared]) -> list[str]:
    """What has to be known beside the table."""
    said = []
    if names := [each.name for each in found if each.word == OTHER_GALLERY]:
        said += [
            f"Not compared: {', '.join(names)}.",
            "The images that were searched are not the same, and a person is found more easily among fewer.",
        ]
    for left_out, units in dict.fromkeys((each.left_out, each.units) for each in found if each.left_out):
        names = [each.name for each in found if (each.left_out, each.units) == (left_out, units)]
        what = "mask pairs" if names == ["unet_iou"] else "people"
        said += [
            f"{left_out:,} of {left_out + units:,} {what} are left aside: {', '.join(names)}.",
            "Only one of the two has them, or with other images or annotations.",
        ]
    if lost := list(dict.fromkeys(group for each in found for group in each.groups_left_out)):
        said.append(f"Attributes that only one of the two has are in no mean: {', '.join(lost)}.")
    told = [each for each in found if each.word not in (OTHER_GALLERY, NOBODY, TOO_FEW, EQUAL)]
    if told:
        said += [
            "noise: with other people of the same kind the difference may be zero, or the other way round.",
            f"Of {len(told)} such intervals {0.05 * len(told):.1f} leave out zero by chance alone.",
            "None tells of another training: a second seed may differ as much.",
        ]
    return said
