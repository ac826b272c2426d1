"""Check a data set folder with Great Expectations: what `checks.py` says must hold, and what becomes of it.

The only file that imports Great Expectations (five seconds and more): import it where it is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.core import (  # type: ignore[attr-defined]
    ExpectColumnValuesToBeInSet,
    ExpectColumnValuesToBeNull,
    ExpectTableRowCountToBeBetween,
)
from great_expectations.expectations.expectation import Expectation

from bruna.dataset.annotations import SHOWN
from bruna.dataset.checks import Check, Suite, annotation_suites, image_suite, people_suite, raw_annotations
from bruna.dataset.dataset_file import DatasetFile, read_dataset_file
from bruna.dataset.facts import count_subsets, image_facts, manifest_of
from bruna.dataset.filenames import MASK_PAIR
from bruna.errors import BrunaError, counted
from bruna.files import whole_folder
from bruna.params import Validate


@dataclass(frozen=True)
class CheckResult:
    """What came of a check: `findings` are pairs of where (a file, a line, a person) and what."""

    text: str
    file: bool
    passed: bool
    findings: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class ValidationResult:
    """A data set that can be used.

    Attributes:
        manifest: one row an accepted file, sorted by path: `path`, `mask_path`, `subset`, `identity`, `camera`,
            `width`, `height`, `md5`, `brightness`, `sharpness`.
        summary: counts and checks, the figures of the stage; equal data gives an equal summary.
        problems: one line a finding that did not stop the pipeline.
        quarantined: path and reason of each file that was set aside, sorted by path.
        constant: the attributes that have the same value wherever they are known, and that value; "" where it is known
            nowhere.
    """

    manifest: pd.DataFrame
    summary: dict[str, Any]
    problems: list[str]
    quarantined: dict[str, str]
    constant: dict[str, str]

    def figures(self) -> dict[str, Any]:
        """The summary, and `warnings` where there are some: sentences."""
        warnings = [
            f"{name} is {value} wherever it is known: a network can only learn to say so."
            if value
            else f"{name} is empty in every row: nothing learns it and nothing is measured."
            for name, value in self.constant.items()
        ]
        warnings += wide_warnings(self.manifest)
        if self.problems:
            warnings.append(
                f"{counted(len(self.problems), 'damaged files')} set aside, used and measured nowhere "
                "(validate.on_bad_image: quarantine)."
            )
        return {**self.summary, **({"warnings": warnings} if warnings else {})}


def validate_dataset(folder: Path, params: Validate, *, docs: Path | None = None) -> ValidationResult:
    """Check a data set folder.

    Args:
        folder: the data set: `train/`, `query/`, `gallery/`, `queries/`, `test/`, `masks/`, dataset.yaml, annotations.
        params: expected image size, and what to do about single damaged images.
        docs: folder for Great Expectations' HTML pages, written anew whether the checks pass or not.

    Raises:
        BrunaError: the folder is no data set, or a check failed; files, lines and people are named, the first
            ten of each check. With `on_bad_image: quarantine` a damaged single image (one that does not decode,
            has the wrong size, or is half of a bad mask pair) is set aside instead of failing.
    """
    folder = Path(folder)
    dataset = read_dataset_file(folder)
    images = image_facts(folder, identities=dataset.identities)
    raw = raw_annotations(folder, dataset)
    trains = dataset.identities and bool((images["subset"] == "train").any())
    suites = [
        image_suite(images, params),
        *([people_suite(images)] if trains else []),
        *([] if raw is None else annotation_suites(raw, dataset, images)),
    ]
    results = _run_suites(suites, docs)
    stops = [r for r in results if not r.passed and not (r.file and params.on_bad_image == "quarantine")]
    if stops:
        raise BrunaError(_message(folder, stops, docs))
    quarantined: dict[str, str] = {}
    for result in results:
        for path, reason in result.findings:
            quarantined.setdefault(path, reason)
    quarantined = dict(sorted(quarantined.items()))
    manifest = manifest_of(images[~images["path"].isin(list(quarantined))])
    people = manifest["identity"][manifest["subset"] == "train"].nunique()
    if people < 2 and trains:
        raise BrunaError(
            f"{folder}: {counted(people, 'training identities')} left without "
            f"{counted(len(quarantined), 'damaged files')}; at least 2 are needed. Replace the damaged files."
        )
    summary = {
        "name": dataset.name,
        "attributes": {name: list(values) for name, values in dataset.attributes.items()},
        "subsets": count_subsets(manifest),
        "annotated": 0 if raw is None else len(raw),
        "checks_passed": sum(result.passed for result in results),
        "checks_failed": sum(not result.passed for result in results),
        "checks": [{"check": r.text, "passed": r.passed, "findings": len(r.findings)} for r in results],
        # Not wrong in itself: in the course edition each query lies in test/ once more.
        "same_content_twice": int(manifest["md5"][manifest["subset"] != MASK_PAIR].duplicated().sum()),
        "quarantined": [{"path": path, "reason": reason} for path, reason in quarantined.items()],
    }
    problems = [f"{path}: {reason}" for path, reason in quarantined.items()]
    return ValidationResult(manifest, summary, problems, quarantined, _constant(raw, dataset))


def wide_warnings(manifest: pd.DataFrame) -> list[str]:
    """Say so where images are wider than high, which a crop of one standing person is not.

    Args:
        manifest: rows of the manifest.
    """
    persons = manifest[manifest["subset"] != MASK_PAIR]
    wide = persons[persons["width"] > persons["height"]]
    if wide.empty:
        return []
    return [
        f"{len(wide):,} of {counted(len(persons), 'images')} are wider than high (such as {wide['path'].iloc[0]}): "
        "whole frames? Every image should be the crop of one person (docs/how-to/crops.md)."
    ]


def _constant(raw: pd.DataFrame | None, dataset: DatasetFile) -> dict[str, str]:
    values = {name: set(raw[name]) - {""} for name in dataset.attributes} if raw is not None else {}
    return {name: next(iter(found), "") for name, found in values.items() if len(found) < 2}


def _run_suites(suites: Sequence[Suite], docs: Path | None) -> list[CheckResult]:
    if docs is None:
        context = _context()
        return [result for suite in suites for result in _run_suite(context, suite)]
    with whole_folder(docs) as beside:
        context = _context()
        backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(beside.resolve())}
        context.add_data_docs_site("site", {"class_name": "SiteBuilder", "store_backend": backend})
        results = [result for suite in suites for result in _run_suite(context, suite)]
        context.build_data_docs(site_names=["site"])
    return results


def _context() -> Any:
    # Ephemeral: a file context refuses to add the same suite on the second run.
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _run_suite(context: Any, suite: Suite) -> list[CheckResult]:
    name, key, checks = suite.name, suite.key, suite.checks
    data = context.data_sources.add_pandas(name).add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
    # The number finds the check of a result again: results come grouped by column. All expectations at once: adding
    # them one by one stores the whole suite each time.
    expectations = [_expectation(check, number) for number, check in enumerate(checks)]
    stated = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=data, suite=stated))
    result = definition.run(
        # A named index would be taken for the place of every finding instead of the column `key`.
        batch_parameters={"dataframe": suite.table.reset_index(drop=True)},
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [key]},
    )
    results = {}
    for item in result.results:
        number = item.expectation_config.meta["check"]
        _refuse_exceptions(checks[number], item)
        results[number] = _result(checks[number], item, key)
    return [results[number] for number in range(len(checks))]


def _expectation(check: Check, number: int) -> Expectation:
    more: dict[str, Any] = {"notes": check.text, "meta": {"check": number}}
    if check.column is None:
        return ExpectTableRowCountToBeBetween(min_value=check.fewest, **more)
    if check.values is None:
        return ExpectColumnValuesToBeNull(column=check.column, **more)
    return ExpectColumnValuesToBeInSet(column=check.column, value_set=list(check.values), **more)


def _refuse_exceptions(check: Check, item: Any) -> None:
    """Great Expectations swallows exceptions and calls the check failed: that would be a mistake of ours."""
    info = item.exception_info or {}
    for details in [info, *(value for value in info.values() if isinstance(value, dict))]:
        if details.get("raised_exception"):
            raise RuntimeError(f"the check that {check.text} broke: {details.get('exception_message')}")


def _result(check: Check, item: Any, key: str) -> CheckResult:
    if item.success:
        return CheckResult(check.text, check.file, True)
    column = check.column
    if column is None:
        return CheckResult(check.text, check.file, False, [("found", str(item.result["observed_value"]))])
    findings = [
        (str(row[key]), str(row[column]) if check.values is None else f"{column} is {_shown(row[column])}")
        for row in item.result["unexpected_index_list"]
    ]
    return CheckResult(check.text, check.file, False, findings)


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def _message(folder: Path, failed: Sequence[CheckResult], docs: Path | None) -> str:
    lines = [f"{folder}: the data set cannot be used, {len(failed)} of its checks failed."]
    for result in failed:
        lines.append(f"Expected: {result.text}. Not so in {counted(len(result.findings), 'places')}:")
        lines += [f"  {where}: {what}" for where, what in result.findings[:SHOWN]]
        if len(result.findings) > SHOWN:
            lines.append(f"  ... and {len(result.findings) - SHOWN} more")
    advice = "Correct what is named above"
    if all(result.file for result in failed):
        advice += ", or set validate.on_bad_image to quarantine in params.yaml to go on without these files"
    lines.append(advice + ("." if docs is None else f". All checks with their findings: {docs / 'index.html'}"))
    return "\n".join(lines)
