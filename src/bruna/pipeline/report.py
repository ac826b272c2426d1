"""What `report` keeps: every picture as a file, on the page, in its own run and in the run of the stage it shows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bruna.errors import BrunaError
from bruna.files import whole_folder
from bruna.params import Params
from bruna.pipeline.attribute_drawings import attribute_drawings
from bruna.pipeline.drawings import bruna_drawings, data_drawings, retrieval_drawings, unet_drawings
from bruna.pipeline.records import Records
from bruna.progress import track
from bruna.report.drawing import Drawing, pictures
from bruna.report.sections import Findings, write_page
from bruna.report.style import save
from bruna.tracking.protocol import Tracker

PAGE = "report.html"
_INPUTS = {
    "validate": "artifacts/validate/manifest.parquet",
    "train_unet": "artifacts/train_unet",
    "train_attributes": "artifacts/train_attributes",
    "train_bruna": "artifacts/train_bruna",
    "evaluate": "artifacts/evaluate",
}
"""Stage that is shown -> an input of the stage `report` that it made, by which its run is found."""


def write_report(artifacts: Path, metrics: Mapping[str, Any], params: Params, tracker: Tracker) -> dict[str, int]:
    """Draw every picture and write the page, from what the other stages have written.

    Args:
        artifacts: the folder of all stages' outputs; this one's is `artifacts/report`.
        metrics: of the stage `evaluate`.
        params: all of params.yaml: the page shows them.
        tracker: the stage's run.

    Returns:
        How many pictures there are of each stage.

    Raises:
        BrunaError: a record is missing.
    """
    records = Records(artifacts)
    drawings = all_drawings(records, metrics, params)
    with whole_folder(artifacts / "report") as folder:
        for drawing in track(drawings, "draw", unit="pictures"):
            save(drawing.draw(), folder / drawing.file)
        _write_page(folder, records, metrics, params, drawings)
    _log(artifacts / "report", tracker)
    return dict(Counter(drawing.stage for drawing in drawings))


def all_drawings(records: Records, metrics: Mapping[str, Any], params: Params) -> list[Drawing]:
    """The pictures of this data set and these parameters, in the order of the page's sections."""
    return [
        *retrieval_drawings(records, "validation", params.report),
        *(retrieval_drawings(records, "test", params.report) if "test" in metrics else ()),
        *attribute_drawings(records),
        *bruna_drawings(records),
        *unet_drawings(records),
        *data_drawings(records),
    ]


def _write_page(
    folder: Path, records: Records, metrics: Mapping[str, Any], params: Params, drawings: Sequence[Drawing]
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

    findings = Findings(
        metrics=metrics,
        table1=records.csv("evaluate/table1"),
        balance=records.csv("split/balance"),
        epochs=records.csv("train_bruna/epochs"),
        masks=records.settings("unet")["trained"],
        filters_junk=records.settings("evaluate")["filter_junk"],
        settings=params.model_dump(mode="json", by_alias=True, exclude={"runtime"}),
    )
    write_page(folder / PAGE, findings, pictures(drawings, png_of))


def _log(folder: Path, tracker: Tracker) -> None:
    """Log the page and all pictures to the stage's own run, and the pictures of a stage to the run that made them."""
    tracker.file(folder / PAGE)
    for pictured in sorted(path for path in folder.iterdir() if path.is_dir()):
        tracker.file(pictured, f"figures/{pictured.name}")
        producer = tracker.producer(_INPUTS[pictured.name])
        if producer is not None:
            producer.file(pictured, "figures")
