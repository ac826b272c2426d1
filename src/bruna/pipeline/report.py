"""What `report` keeps: every picture as a file, on the page, in its own run and in the run of the stage it shows."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from bruna.dataset.dataset_file import read_dataset_file
from bruna.errors import BrunaError
from bruna.files import whole_folder
from bruna.params import Params
from bruna.pipeline.attribute_drawings import predicted_drawing, task1_drawings
from bruna.pipeline.breakdown_drawings import breakdown_drawings, recorded_groups
from bruna.pipeline.calibration_drawings import calibration_drawings
from bruna.pipeline.drawings import bruna_drawings, data_drawings, unet_drawings
from bruna.pipeline.model_card import card_facts
from bruna.pipeline.query_browser import browser_sections, recorded_browsed_set
from bruna.pipeline.records import Records
from bruna.pipeline.retrieval_drawings import recorded_set, retrieval_drawings
from bruna.progress import track
from bruna.report.drawing import Drawing, Set, pictures
from bruna.report.model_card import card_section, card_title, model_card
from bruna.report.model_card_markdown import markdown, with_card_origin
from bruna.report.page import Section, render, with_origin, write_html
from bruna.report.sections import Findings, report_page
from bruna.report.style import save
from bruna.retrieval.protocols import COURSE
from bruna.tracking.protocol import Tracker

PAGE, CARD = "report.html", "model_card.md"
_INPUTS = {
    "validate": "artifacts/validate/manifest.parquet",
    "train_unet": "artifacts/train_unet",
    "train_attributes": "artifacts/train_attributes",
    "train_bruna": "artifacts/train_bruna",
    "evaluate": "artifacts/evaluate",
}
"""Stage that is shown -> an input of the stage `report` that it made, by which its run is found."""

_WARNING = ("validate", "split", "train_unet", "train_attributes", "train_bruna", "evaluate")
"""Stages whose figures the page has warnings from; the others have none."""
_SETS: Mapping[Set, str] = {"validation": "validation identities", "test": "test set"}


def write_report(
    artifacts: Path,
    data: Path,
    metrics: Mapping[str, float],
    params: Params,
    inputs: Mapping[str, str],
    tracker: Tracker,
) -> dict[str, int]:
    """Draw every picture, write the page and the model card, from what the other stages have written.

    Args:
        artifacts: the folder of all stages' outputs; this one's is `artifacts/report`.
        data: the data set folder, of which the model card tells name, source and terms.
        metrics: the headline metrics of all stages by name.
        params: all of params.yaml: the page shows them.
        inputs: path -> MD5 of the data set and of what the page is made from: the page shows them.
        tracker: the stage's run.

    Returns:
        How many pictures there are of each stage.

    Raises:
        BrunaError: a record or the data set's own file is missing.
    """
    records = Records(artifacts)
    drawings = all_drawings(records, params)
    findings = _findings(records, metrics, params, inputs)
    facts = card_facts(records, read_dataset_file(data))
    card = model_card(findings, facts)
    with whole_folder(artifacts / "report") as folder:
        for drawing in track(drawings, "draw", unit="pictures"):
            save(drawing.draw(), folder / drawing.file)
        _write_page(folder, drawings, findings, _browser(records), [card_section(card)])
        (folder / CARD).write_text(markdown(card_title(facts), card), encoding="utf-8", newline="\n")
    _log(artifacts / "report", tracker)
    return dict(Counter(drawing.stage for drawing in drawings))


def all_drawings(records: Records, params: Params) -> list[Drawing]:
    """The pictures of this data set and these parameters, in the order of the page's sections."""
    measured = records.figures("evaluate")
    drawn: list[Drawing] = []
    for name, words in _SETS.items():
        if COURSE.name in measured.get(name, {}):
            drawn += retrieval_drawings(recorded_set(records, name), name, words, params.report)
        if "attributes_predicted" in measured.get(name, {}):
            drawn.append(predicted_drawing(measured[name], name, words))
    drawn += breakdown_drawings(recorded_groups(records, _SETS))
    if "eer" in (found := measured.get("validation", {}).get("verification", {})):
        tables = records.csv("evaluate/verification"), records.csv("evaluate/reliability")
        drawn += calibration_drawings(found, *tables, _SETS["validation"])
    return [
        *drawn,
        *unet_drawings(records),
        *task1_drawings(records),
        *bruna_drawings(records),
        *data_drawings(records),
    ]


def _findings(records: Records, metrics: Mapping[str, float], params: Params, inputs: Mapping[str, str]) -> Findings:
    return Findings(
        metrics=metrics,
        checked=records.figures("validate"),
        measured=records.figures("evaluate"),
        table1=records.csv("evaluate/table1") if records.trained("attributes") else None,
        points=records.csv("evaluate/operating_points") if records.trained("attributes") else None,
        balance=records.csv("split/balance"),
        epochs=records.csv("train_bruna/epochs") if records.trained("bruna") else None,
        untrained=[model for model in ("unet", "attributes", "bruna") if not records.trained(model)],
        settings=params.model_dump(mode="json", by_alias=True, exclude={"runtime"}),
        inputs=inputs,
        warnings=[sentence for stage in _WARNING for sentence in records.figures(stage).get("warnings", ())],
        groups=recorded_groups(records, _SETS),
    )


def _browser(records: Records) -> list[Section]:
    """The section with the queries, where something was ranked."""
    measured = records.figures("evaluate")
    ranked = [name for name in _SETS if COURSE.name in measured.get(name, {})]
    sets = {_SETS[name]: recorded_browsed_set(records, name) for name in ranked}
    return browser_sections(sets, records.settings("evaluate")["attribute_neighbors"])


def _write_page(
    folder: Path,
    drawings: Sequence[Drawing],
    findings: Findings,
    browser: Sequence[Section] = (),
    card: Sequence[Section] = (),
) -> None:
    """Write the page with the pictures that lie in `folder`.

    Raises:
        BrunaError: one of them is missing.
    """

    def png_of(file: str) -> bytes:
        try:
            return (folder / file).read_bytes()
        except FileNotFoundError:
            raise BrunaError(f"the report page shows {file}, which is missing. Run `dvc repro report` again.") from None

    write_html(folder / PAGE, render(report_page(findings, pictures(drawings, png_of), browser, card)))


def _log(folder: Path, tracker: Tracker) -> None:
    """Log page, model card and pictures to the stage's own run, and the pictures of a stage to the run that made them.

    The copies of page and card that are logged say which commit, experiment and run they are of: the outputs
    themselves cannot, for DVC may restore them from its cache in another.
    """
    origin = tracker.origin()
    with tempfile.TemporaryDirectory() as scratch:
        page, card = Path(scratch) / PAGE, Path(scratch) / CARD
        write_html(page, with_origin((folder / PAGE).read_text(encoding="utf-8"), origin))
        text = with_card_origin((folder / CARD).read_text(encoding="utf-8"), origin)
        card.write_text(text, encoding="utf-8", newline="\n")
        tracker.file(page)
        tracker.file(card)
    for pictured in sorted(path for path in folder.iterdir() if path.is_dir()):
        tracker.file(pictured, f"figures/{pictured.name}")
        producer = tracker.producer(_INPUTS[pictured.name])
        if producer is not None:
            producer.file(pictured, "figures")
