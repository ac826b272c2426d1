"""The report page's section on attributes: as they are predicted first, then Task 1's network alone."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bruna.dataset.schema import mean_title, title
from bruna.report.blocks import Block, Heading, Note, Table
from bruna.report.drawing import Pictures, Set
from bruna.report.page import Section
from bruna.report.words import words

_SETS: dict[Set, str] = {"validation": "validation identities", "test": "test set"}
_SOURCES = {
    "attributes_predicted": "as set (evaluate.attributes_from, attribute_neighbors)",
    "attributes_task1": "Task 1’s network, one image",
    "attributes_bruna": "Bruna’s attribute head, one image",
    "attributes_both": "the mean of both networks’ probabilities, one image",
}
"""Figures of the stage `evaluate` -> where the predictions come from."""
_FIGURES = ("accuracy", "balanced_accuracy")
_COLUMNS = {
    "accuracy": "accuracy/predicted",
    "majority": "accuracy/commonest value",
    "balanced_accuracy": "balanced accuracy/predicted",
    "chance": "balanced accuracy/any constant",
    "precision": "precision/predicted",
}
_CLEARLY = 0.01
_WORDS = ("accuracy", "balanced accuracy", "precision", "operating point", "Table 1 of the paper")


def attribute_section(
    figures: Mapping[str, Any], table1: pd.DataFrame, points: pd.DataFrame, pictures: Pictures
) -> Section:
    """Compose the section.

    Args:
        figures: of the stage `evaluate`.
        table1: Table 1 of the paper; its last row is the mean of the attributes.
        points: the operating points; the last task is the mean of the attributes.
        pictures: of the page.
    """
    blocks: list[Block] = [words(*_WORDS)]
    for name, called in _SETS.items():
        if "attributes_predicted" in figures.get(name, {}):
            blocks += [] if name == "validation" else [Heading("Test set")]
            blocks += attribute_blocks(figures[name], called)
            blocks += pictures.get("test attributes" if name == "test" else "validation attributes", [])
    caption = "Table 1 of the paper, with the share of the commonest value"
    percent = dict.fromkeys(("accuracy", "precision", "balanced_accuracy", "majority"), "{:.1%}")
    blocks += [
        Heading("Task 1’s network alone"),
        Table(_words(table1), caption, {key.replace("_", " "): form for key, form in percent.items()}, _means(table1)),
        *_dominated(points),
        *pictures.get("task1", []),
    ]
    return Section("Attributes", blocks)


def attribute_blocks(found: Mapping[str, Any], called: str) -> list[Block]:
    """The tables of one set: each attribute as it is predicted, and the means by the source of the predictions.

    Args:
        found: the figures of the set.
        called: what the set is called.
    """
    table = attribute_table(found["attributes_predicted"])
    mean = {"task": mean_title(len(table)), **table.drop(columns="task").mean().to_dict()}
    shown = pd.concat([table, pd.DataFrame([mean])])[["task", *_COLUMNS]].rename(columns={"task": "", **_COLUMNS})
    sources = [
        {"predictions": source, **{figure.replace("_", " "): means[figure] for figure in _FIGURES}}
        for key, source in _SOURCES.items()
        if (means := found["attribute_means"].get(key))
    ]
    percent = dict.fromkeys((*_COLUMNS.values(), "accuracy", "balanced accuracy"), "{:.1%}")
    caption = f"{mean_title(len(table))} by the source of the predictions, {called}"
    return [
        Table(shown, f"Attributes as they are predicted, {called}", percent, [str(mean["task"])]),
        Table(pd.DataFrame(sources), caption, percent, [_SOURCES["attributes_predicted"]]),
    ]


def attribute_table(figures: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """A row an annotated attribute; columns `task` (its title) and the figures.

    Args:
        figures: `<attribute>.<figure>`, such as `attributes_predicted`.
    """
    known = {name: each for name, each in figures.items() if not math.isnan(each.get("accuracy", math.nan))}
    return pd.DataFrame([{"task": title(name), **each} for name, each in known.items()])


def _words(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns=lambda name: str(name).replace("_", " "))


def _means(table1: pd.DataFrame) -> list[str]:
    return [str(task) for task in table1["task"].iloc[-2:]]


def _dominated(points: pd.DataFrame) -> list[Block]:
    """Say so where another operating point is clearly better in both figures of the mean."""
    mean = points[points["task"] == points["task"].iloc[-1]].reset_index()
    chosen = mean.loc[mean["shift"].abs().idxmin()]
    gains = mean[[f"validation/{figure}" for figure in _FIGURES]] - chosen[[f"validation/{f}" for f in _FIGURES]]
    best = gains.min(axis=1).astype(float).idxmax()
    if not gains.loc[best].min() > _CLEARLY:
        return []
    accuracy, balanced = (100 * gains.loc[best, f"validation/{figure}"] for figure in _FIGURES)
    shift = float(mean.loc[best, "shift"])
    return [
        Note(
            f"Leaning {'more' if shift > 0 else 'less'} to rare values (by {abs(shift):g}) would gain {accuracy:.1f} "
            f"points of accuracy and {balanced:.1f} of balanced accuracy here. The page keeps what the network was "
            "trained for: a point that is chosen on the validation identities is no longer measured by them. "
            "train_attributes.logit_adjustment sets it."
        )
    ]
