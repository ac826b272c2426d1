"""The report page's sections on the data: what was checked and what failed, and how the split came out."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bruna.report.blocks import Block, Folded, Note, Table
from bruna.report.drawing import Pictures
from bruna.report.page import Section

_LISTED = 100
"""Files that were set aside which the page names; the figures of `validate` name all."""
_BALANCE = {
    "attribute": "attribute",
    "value": "value",
    "people": "identities/all",
    "train": "identities/train",
    "wanted": "identities/train, wanted",
    "deviation": "identities/train, off by",
    "validation": "identities/validation",
    "percent": "share of the identities/all",
    "train_percent": "share of the identities/train",
    "validation_percent": "share of the identities/validation",
    "images": "images/all",
    "train_images": "images/train",
    "validation_images": "images/validation",
    "image_percent": "share of the images/all",
    "train_image_percent": "share of the images/train",
    "validation_image_percent": "share of the images/validation",
}
"""Columns of balance.csv and their headings."""


def check_section(figures: Mapping[str, Any]) -> Section:
    """What was checked of the data set, what failed, and where.

    Args:
        figures: of the stage `validate`.
    """
    checks = pd.DataFrame(figures["checks"])
    failed = checks[~checks["passed"].astype(bool)]
    blocks: list[Block] = []
    if failed.empty:
        blocks.append(f"All {len(checks):,} checks passed.")
    else:
        blocks.append(
            Note(
                f"{len(failed):,} of {len(checks):,} checks failed. The files that they name were set aside, as "
                "validate.on_bad_image: quarantine says."
            )
        )
        places = failed.rename(columns={"check": "what should hold", "findings": "places"})
        blocks += [Table(places[["what should hold", "places"]], "What failed"), *_set_aside(figures["quarantined"])]
    if twice := figures["same_content_twice"]:
        blocks.append(f"{twice:,} images have the very bytes of another one. That is no mistake by itself.")
    blocks += [_subsets(figures["subsets"]), Folded("All checks", [_all_checks(checks)])]
    blocks.append(
        "Great Expectations’ own pages of these checks are in reports/data_docs and on the MLflow run of validate."
    )
    return Section("Checks of the data", blocks)


def _set_aside(quarantined: list[Mapping[str, str]]) -> list[Block]:
    named = pd.DataFrame(quarantined[:_LISTED]).rename(columns={"path": "file", "reason": "what is wrong"})
    rest = len(quarantined) - len(named)
    more = [f"... and {rest:,} more: `bruna summary --all` lists them."] if rest else []
    return [Table(named, f"Files set aside: {len(quarantined):,}"), *more]


def _all_checks(checks: pd.DataFrame) -> Table:
    """A row a check; one that is made of both annotation files stands once."""
    found = checks.assign(times=1, failed=~checks["passed"].astype(bool)).groupby("check", sort=False).sum()
    shown = pd.DataFrame(
        {
            "what should hold": found.index,
            "checked": [f"{times} files" if times > 1 else "once" for times in found["times"]],
            "result": ["failed" if failed else "passed" for failed in found["failed"]],
            "places": found["findings"].to_numpy(),
        }
    )
    return Table(shown)


def _subsets(subsets: Mapping[str, Any]) -> Table:
    cameras = sorted({int(camera) for counts in subsets.values() for camera in counts["cameras"]})
    rows = [
        {"folder": name.replace("_", " "), "images": counts["images"], "identities": counts["identities"] or None}
        | {f"images by camera/{camera}": counts["cameras"].get(str(camera)) for camera in cameras}
        for name, counts in subsets.items()
    ]
    frame = pd.DataFrame(rows)
    numbers = [column for column in frame if column != "folder"]
    return Table(frame.astype(dict.fromkeys(numbers, "Int64")), "Images that are used")


def data_section(balance: pd.DataFrame, pictures: Pictures) -> Section:
    """How evenly the split shares the attribute values, and what the images are.

    Args:
        balance: of the stage `split`.
        pictures: of the page.
    """
    if balance.empty:  # no attributes
        return Section("Data", pictures.get("data", []))
    shares = {head: "{:.1f}%" for head in _BALANCE.values() if head.startswith("share")}
    people = {head: "{:.1f}" for head in _BALANCE.values() if head.endswith(("wanted", "off by"))}
    shown = balance[list(_BALANCE)].rename(columns=_BALANCE)
    caption = "All images of an identity are on one side of the split"
    table = Folded("How evenly the split shares the attribute values", [Table(shown, caption, shares | people)])
    return Section("Data", [table, *pictures.get("data", [])])
