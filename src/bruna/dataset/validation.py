"""What must hold of a data set, stated as Great Expectations suites over tables of facts.

The only file that imports Great Expectations (five seconds and more): import it where it is used.
"""

import re
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

from bruna.dataset.annotations import ANNOTATIONS, SHOWN, columns_of, find_annotations, header_problems, read_raw
from bruna.dataset.dataset_file import DATASET, DatasetFile, read_dataset_file
from bruna.dataset.facts import count_subsets, image_facts, manifest_of, people_facts
from bruna.dataset.filenames import MASK_PAIR
from bruna.errors import BrunaError, counted
from bruna.files import whole_folder
from bruna.params import Validate

Suite = tuple[str, str, pd.DataFrame, list["Check"]]
"""Name, the column that says where a finding is, the table, the checks on it."""


@dataclass(frozen=True)
class Check:
    """One thing that must hold.

    Attributes:
        text: the check in words, e.g. "every image decodes fully".
        expectation: the same for Great Expectations.
        file: True where a finding concerns a single image, which can be set aside.
    """

    text: str
    expectation: Expectation
    file: bool = False


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
        constant: the attributes that have the same value wherever they are known, and that value.
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
    raw = _raw_annotations(folder, dataset)
    trains = dataset.identities and bool((images["subset"] == "train").any())
    suites: list[Suite] = [
        ("images", "path", images, _image_checks(params)),
        *([("people", "person", people_facts(images), _people_checks())] if trains else []),
        *([] if raw is None else _annotation_suites(raw, dataset, images)),
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
    return {name: next(iter(found)) for name, found in values.items() if len(found) == 1}


def _null(text: str, column: str, *, file: bool = False) -> Check:
    return Check(text, ExpectColumnValuesToBeNull(column=column, notes=text), file)


def _image_checks(params: Validate) -> list[Check]:
    checks = [
        _null("every name tells identity and camera", "name_problem"),
        _null("every image decodes fully", "decode_problem", file=True),
        _null("every mask has an image and every image in masks/ a mask", "pair_problem", file=True),
        _null("every mask decodes, has its image's size and two values", "mask_problem", file=True),
        _null("no image content belongs to two people", "people_problem"),
        _null("no training image is in a test set too", "leak_problem"),
    ]
    if params.image_size is not None:
        size = f"{params.image_size[0]} x {params.image_size[1]}"
        text = f"every person image is {size} pixels (height x width)"
        expectation = ExpectColumnValuesToBeInSet(column="size", value_set=[size], notes=text)
        checks.append(Check(text, expectation, file=True))
    return checks


def _people_checks() -> list[Check]:
    enough = ExpectTableRowCountToBeBetween(min_value=2)
    return [
        Check("there are at least 2 training identities", enough),
        _null("nobody is in train/ and in query/ or gallery/", "test_problem"),
    ]


def _raw_annotations(folder: Path, dataset: DatasetFile) -> pd.DataFrame | None:
    """The annotations as text; None where there are none and dataset.yaml names no attributes."""
    file = find_annotations(folder)
    if file is not None:
        return read_raw(file)
    if dataset.attributes:
        raise BrunaError(
            f"{folder / ANNOTATIONS[0]} is missing. It holds the values of the "
            f"{counted(len(dataset.attributes), 'attributes')} that {DATASET} names, a row an "
            f"{dataset.attributes_of}; docs/reference/data-set.md shows it."
        )
    return None


def _annotation_suites(raw: pd.DataFrame, dataset: DatasetFile, images: pd.DataFrame) -> list[Suite]:
    """The suites over the annotations and over what they are of; a wrong header leaves nothing to check on."""
    columns = columns_of(raw, dataset.tasks)
    if not dataset.identities:
        columns = ("path", *columns[1:])
    problem = "; ".join(header_problems(raw, columns)) or None
    # A frame whose own columns are the header cannot be checked for a header: it becomes a column of problems.
    header = pd.DataFrame({"file": ["annotations"], "header_problem": [problem]}, dtype=object)
    text = f"the annotations have a column {columns[0]}, and one for each attribute of {DATASET}"
    suites = [("annotations header", "file", header, [_null(text, "header_problem")])]
    if problem is not None:
        return suites
    key, *names = columns
    where, wrong, twice = "(row)", "(key problem)", "(twice)"  # names that no attribute can have
    rows = raw.copy()
    rows[where] = [f"annotations, line {line} ({key} {value})" for line, value in raw[key].items()]
    rows[wrong] = pd.Series(_key_problems(raw[key], key, images), raw.index, dtype=object)
    second = raw[key].duplicated(keep="first")
    rows[twice] = second.map({True: "it has a row already", False: None}).astype(object)
    checks = [_null(f"every {key} is that of an image", wrong), _null(f"no {key} occurs twice", twice)]
    for name in names:
        values = dataset.attributes[name]
        rows[name] = rows[name].where(rows[name] != "", None)  # unknown
        text = f"{name} is {', '.join(values[:-1])} or {values[-1]}, or empty"
        checks.append(Check(text, ExpectColumnValuesToBeInSet(column=name, value_set=list(values))))
    suites.append(("annotations", where, rows, checks))
    train = images[(images["subset"] == "train") & images["name_problem"].isna()]
    annotated = set(raw[key])
    wanted = train[key].astype(str).drop_duplicates()
    missing = [None if one in annotated else "no row in the annotations" for one in wanted]
    people = pd.DataFrame({key: wanted.tolist(), "row_problem": missing}, dtype=object)
    what = "identity" if key == "identity" else "image"
    suites.append(
        ("annotated", key, people, [_null(f"every training {what} has a row in the annotations", "row_problem")])
    )
    return suites


def _key_problems(keys: pd.Series, key: str, images: pd.DataFrame) -> list[str | None]:
    """What is wrong with the identity or the path of each row."""
    labelled = images[images["identity"] > 0] if key == "identity" else images[images["subset"] != MASK_PAIR]
    known = set(labelled[key].astype(str))
    if key == "path":
        return [None if path in known else "there is no such image" for path in keys]
    return [
        None
        if identity in known
        else "no image shows it"
        if re.fullmatch("[1-9][0-9]{0,8}", identity)
        else "it is no number from 1, without leading zeros"
        for identity in keys
    ]


def _run_suites(suites: Sequence[Suite], docs: Path | None) -> list[CheckResult]:
    if docs is None:
        context = _context()
        return [result for suite in suites for result in _run_suite(context, *suite)]
    with whole_folder(docs) as beside:
        context = _context()
        backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(beside.resolve())}
        context.add_data_docs_site("site", {"class_name": "SiteBuilder", "store_backend": backend})
        results = [result for suite in suites for result in _run_suite(context, *suite)]
        context.build_data_docs(site_names=["site"])
    return results


def _context() -> Any:
    # Ephemeral: a file context refuses to add the same suite on the second run.
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _run_suite(context: Any, name: str, key: str, frame: pd.DataFrame, checks: list[Check]) -> list[CheckResult]:
    data = context.data_sources.add_pandas(name).add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
    for number, check in enumerate(checks):
        # The number finds the check of a result again: results come grouped by column.
        check.expectation.meta = {"check": number}
    # All at once: adding them one by one stores the whole suite each time.
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=[check.expectation for check in checks]))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=data, suite=suite))
    result = definition.run(
        # A named index would be taken for the place of every finding instead of the column `key`.
        batch_parameters={"dataframe": frame.reset_index(drop=True)},
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [key]},
    )
    results = {}
    for item in result.results:
        number = item.expectation_config.meta["check"]
        _refuse_exceptions(checks[number], item)
        results[number] = _result(checks[number], item, key)
    return [results[number] for number in range(len(checks))]


def _refuse_exceptions(check: Check, item: Any) -> None:
    """Great Expectations swallows exceptions and calls the check failed: that would be a mistake of ours."""
    info = item.exception_info or {}
    for details in [info, *(value for value in info.values() if isinstance(value, dict))]:
        if details.get("raised_exception"):
            raise RuntimeError(f"the check that {check.text} broke: {details.get('exception_message')}")


def _result(check: Check, item: Any, key: str) -> CheckResult:
    if item.success:
        return CheckResult(check.text, check.file, True)
    column = getattr(check.expectation, "column", None)
    if column is None:
        return CheckResult(check.text, check.file, False, [("found", str(item.result["observed_value"]))])
    problem = isinstance(check.expectation, ExpectColumnValuesToBeNull)
    findings = [
        (str(row[key]), str(row[column]) if problem else f"{column} is {_shown(row[column])}")
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
