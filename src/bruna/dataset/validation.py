"""What must hold of a data set, stated as Great Expectations suites over tables of facts.

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
    ExpectColumnValuesToBeUnique,
    ExpectColumnValuesToMatchRegex,
    ExpectTableRowCountToBeBetween,
)
from great_expectations.expectations.expectation import Expectation

from bruna.dataset.annotations import HALVES, SHOWN, allowed, color_problems, header_problems, read_raw
from bruna.dataset.attributes import ANNOTATION_COLUMNS
from bruna.dataset.facts import count_subsets, image_facts, manifest_of, people_facts
from bruna.dataset.filenames import MASK_PAIR
from bruna.errors import BrunaError, counted
from bruna.files import whole_folder
from bruna.params import Validate

TRAIN_ANNOTATIONS, TEST_ANNOTATIONS = "annotations_train.csv", "annotations_test.csv"
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
    """

    manifest: pd.DataFrame
    summary: dict[str, Any]
    problems: list[str]
    quarantined: dict[str, str]


def validate_dataset(folder: Path, params: Validate, *, docs: Path | None = None) -> ValidationResult:
    """Check a data set folder.

    Args:
        folder: the data set: `train/`, `query/`, `gallery/`, `queries/`, `test/`, `masks/` and annotation files.
        params: expected image size, and what to do about single damaged images.
        docs: folder for Great Expectations' HTML pages, written anew whether the checks pass or not.

    Raises:
        BrunaError: the folder is no data set, or a check failed; files, lines and people are named, the first
            ten of each check. With `on_bad_image: quarantine` a damaged single image (one that does not decode,
            has the wrong size, or is half of a bad mask pair) is set aside instead of failing.
    """
    folder = Path(folder)
    images = image_facts(folder)
    suites: list[Suite] = [
        ("images", "path", images, _image_checks(params)),
        *_annotation_suites(folder, TRAIN_ANNOTATIONS, images, ["train"]),
    ]
    test_rows = 0
    if (folder / TEST_ANNOTATIONS).exists():
        suites += _annotation_suites(folder, TEST_ANNOTATIONS, images, ["query", "gallery"])
        test_rows = len(read_raw(folder / TEST_ANNOTATIONS))
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
    if people < 2:
        raise BrunaError(
            f"{folder}: {counted(people, 'training identities')} left without "
            f"{counted(len(quarantined), 'damaged files')}; at least 2 are needed. Replace the damaged files."
        )
    summary = {
        "subsets": count_subsets(manifest),
        "annotated_train": len(read_raw(folder / TRAIN_ANNOTATIONS)),
        "annotated_test": test_rows,
        "checks_passed": sum(result.passed for result in results),
        "checks_failed": sum(not result.passed for result in results),
        "checks": [{"check": r.text, "passed": r.passed, "findings": len(r.findings)} for r in results],
        # Not wrong in itself: in the course edition each query lies in test/ once more.
        "same_content_twice": int(manifest["md5"][manifest["subset"] != MASK_PAIR].duplicated().sum()),
        "quarantined": [{"path": path, "reason": reason} for path, reason in quarantined.items()],
    }
    return ValidationResult(manifest, summary, [f"{p}: {r}" for p, r in quarantined.items()], quarantined)


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


def _annotation_suites(folder: Path, name: str, images: pd.DataFrame, subsets: Sequence[str]) -> list[Suite]:
    """The suites over an annotation file and over the people in it; a wrong header leaves nothing to check on."""
    raw = read_raw(folder / name)
    kind = name.removesuffix(".csv")
    # A frame whose own columns are the header cannot be checked for a header: it becomes a column of problems.
    header = pd.DataFrame({"file": [name], "header_problem": ["; ".join(header_problems(raw)) or None]}, dtype=object)
    suites = [(f"{kind} header", "file", header, [_null(f"{name} has the 28 columns", "header_problem")])]
    if header_problems(raw):
        return suites
    people = people_facts(images, list(raw["id"]), subsets)
    rows = raw.assign(
        row=[f"{name}, line {line} (id {identity})" for line, identity in raw["id"].items()],
        images=[str(i) in set(people["identity"].astype(str)) for i in raw["id"]],
        **{f"{half}_problem": color_problems(raw, half) for half in HALVES},
    )
    rows["images"] = rows["images"].map({True: None, False: f"no image in {' or '.join(subsets)}"}).astype(object)
    checks = [
        Check(
            "every id is a number from 1, without leading zeros",
            ExpectColumnValuesToMatchRegex(column="id", regex=r"^[1-9][0-9]{0,8}$"),
        ),
        Check("no id occurs twice", ExpectColumnValuesToBeUnique(column="id")),
        _null("every annotated identity has images", "images"),
        *(_null(f"at most one {half} is set", f"{half}_problem") for half in HALVES),
    ]
    for column in ANNOTATION_COLUMNS[1:]:
        text = f"{column} is {' or '.join(allowed(column))}"
        expectation = ExpectColumnValuesToBeInSet(column=column, value_set=list(allowed(column)))
        checks.append(Check(text, expectation))
    suites.append((kind, "row", rows, checks))
    once = ExpectColumnValuesToBeInSet(column="annotation_rows", value_set=[1])
    person_checks = [Check(f"every identity has one row in {name}", once)]
    if "train" in subsets:
        enough = ExpectTableRowCountToBeBetween(min_value=2)
        person_checks.append(Check("there are at least 2 training identities", enough))
        person_checks.append(_null("nobody is in train/ and in query/ or gallery/", "test_problem"))
    suites.append((f"{kind} people", "person", people, person_checks))
    return suites


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
