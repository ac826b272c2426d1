"""The attributes that a folder and the models have in common, whatever else either has and in whatever order."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bruna.dataset.schema import UNKNOWN, Task, Tasks
from bruna.dataset.tables import attribute_columns, attributes_of
from bruna.errors import counted

_NAMED = 10
"""Attributes that the sentence names."""


def with_schema_of(
    tables: Mapping[str, pd.DataFrame], schema: Tasks, name: str
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Give image tables the attributes that the models tell: values of the same name and the same set are kept.

    Args:
        tables: one or more image tables of a folder (`bruna.dataset.tables`), with one schema.
        schema: the attributes that the models tell, in the order of their codes.
        name: of the folder.

    Returns:
        The tables with the columns of `schema`, unknown where the folder has no such attribute; and a sentence that
        says which attributes are not measured and why, none where all of both are, or the folder has none at all.
    """
    attributes = attributes_of(next(iter(tables.values())))
    told = {task.name: task for task in schema}
    why = {task.name: _why_not(task, told.get(task.name), tables) for task in attributes}
    kept = [name for name, reason in why.items() if not reason]
    found = {part: _recoded(table, attributes, schema, kept) for part, table in tables.items()}
    reasons = [f"{name} ({reason})" for name, reason in why.items() if reason]
    reasons += [f"{name} (the folder does not have it)" for name in told if name not in why]
    if not attributes or not reasons:
        return found, []
    more = f" and {len(reasons) - _NAMED:,} more" if len(reasons) > _NAMED else ""
    return found, [
        f"{name}: {len(kept)} of {counted(len(schema), 'attributes')} that the models tell can be measured; not "
        f"measured: {', '.join(reasons[:_NAMED])}{more}."
    ]


def _why_not(task: Task, told: Task | None, tables: Mapping[str, pd.DataFrame]) -> str:
    """Why an attribute of the folder is not measured; empty where it is."""
    if told is None:
        return "the models do not tell it"
    if set(task.values) != set(told.values):
        return f"its values are {'/'.join(task.values)}, those of the models {'/'.join(told.values)}"
    if all(table[task.name].isna().all() for table in tables.values()):
        return "empty in every row"
    return ""


def _recoded(table: pd.DataFrame, attributes: Sequence[Task], schema: Tasks, kept: Sequence[str]) -> pd.DataFrame:
    """An image table with the columns of `schema`; those of `kept` come from the table."""
    columns: dict[str, Any] = attribute_columns(np.full((len(table), len(schema)), UNKNOWN), schema)
    columns |= {
        task.name: table[task.name].cat.set_categories(list(task.values)) for task in schema if task.name in kept
    }
    return table.drop(columns=[task.name for task in attributes]).assign(**columns)
