"""The page of `bruna evaluate FOLDER --html PAGE`: what trained models make of one folder."""

from pathlib import Path
from typing import Any

from bruna.errors import counted
from bruna.evaluation.folder import MeasuredFolder
from bruna.evaluation.retrieval import cmc_table, per_query, ranked_table
from bruna.headlines import headline_intervals, headline_metrics
from bruna.params import Params
from bruna.pipeline.attribute_drawings import predicted_drawing
from bruna.pipeline.breakdown_drawings import breakdown_drawings
from bruna.pipeline.calibration_drawings import calibration_drawings
from bruna.pipeline.query_browser import BrowsedSet, browser_sections
from bruna.pipeline.records import Images
from bruna.pipeline.retrieval_drawings import RankedSet, retrieval_drawings
from bruna.report.attribute_section import attribute_blocks
from bruna.report.blocks import Settings
from bruna.report.breakdown_section import Groups, breakdown_sections
from bruna.report.calibration_section import calibration_sections
from bruna.report.drawing import Drawing, Pictures, Set, pictures
from bruna.report.page import Page, Section, TileGroup, render, write_html
from bruna.report.retrieval_section import retrieval_blocks
from bruna.report.sections import BELOW_A_NUMBER, chance_notes
from bruna.report.style import png_bytes
from bruna.report.tiles import tile_groups


def write_folder_page(path: Path, measured: MeasuredFolder, params: Params, *, name: str, models: Path) -> None:
    """Write one self-contained page: tiles, tables of retrieval and attributes, rank lists, CMC, average precisions.

    Args:
        path: of the page; what is there is replaced.
        measured: of `evaluate_folder`.
        params: it was measured with; the groups `evaluate` and `report` are used.
        name: of the folder.
        models: where the trained models lie.

    Raises:
        BrunaError: the page cannot be written.
    """
    found = figures_of_set(measured.figures)
    drawings = _drawings(measured, found, params, name)
    drawn = {drawing.file: png_bytes(drawing.draw()) for drawing in drawings}
    images, identities = measured.figures["images"], measured.figures["identities"]
    searched = "each image searched for among the others"
    if measured.query is not measured.gallery:
        searched = f"{counted(len(measured.query), 'queries')} searched for among {len(measured.gallery):,}"
    of = (
        f"{images:,} images of {counted(identities, 'identities')}, {searched},"
        if measured.retrieval
        else f"{images:,} images"
    )
    page = Page(
        f"{name}: persons found again, and their attributes",
        f"{of} by the models in {models}. {BELOW_A_NUMBER}",
        _tiles(measured.figures, found, name),
        _sections(measured, found, params, name, pictures(drawings, drawn.__getitem__)),
        measured.figures.get("warnings", ()),
        footer="Made by bruna evaluate.",
    )
    write_html(path, render(page))


def figures_of_set(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures of a measured folder in the form in which `evaluate` keeps those of one set."""
    return {
        **figures.get("retrieval", {}),
        **{key: value for key, value in figures.items() if key.startswith("attribute")},
    }


def _tiles(figures: dict[str, Any], found: dict[str, Any], name: str) -> list[TileGroup]:
    measured = {"validation": found}  # one set in the place of the pipeline's main one
    metrics = headline_metrics("evaluate", measured)
    groups = tile_groups(metrics, chance_notes(measured), headline_intervals(figures, metrics))
    return [TileGroup(f"Folder {name}", group.tiles) for group in groups]


def _sections(
    measured: MeasuredFolder, found: dict[str, Any], params: Params, name: str, shown: Pictures
) -> list[Section]:
    settings = params.evaluate.model_dump(mode="json")
    own = measured.query is measured.gallery
    sections = []
    if measured.retrieval is not None:
        caption = f"{name}, {'every image both query and gallery' if own else 'query/ in gallery/'}"
        retrieval = retrieval_blocks(found, {}, caption, settings, finds_itself=own)
        sections.append(Section("Retrieval", [*retrieval, *shown.get("validation", [])]))
    if measured.retrieval is not None and (browsed := measured.browsed) is not None:
        images = [measured.query] if own else [measured.query, measured.gallery]
        ranked = per_query(measured.retrieval), browsed.ranked
        shown_set = BrowsedSet(*ranked, browsed.predicted, images, browsed.segments)
        sections += browser_sections({name: shown_set}, params.evaluate.attribute_neighbors)
    sections += breakdown_sections(_groups(measured, name), shown)
    sections += calibration_sections(measured.figures.get("verification"), shown)
    if "attributes_predicted" in found:
        sections.append(
            Section("Attributes", [*attribute_blocks(found, name), *shown.get("validation attributes", [])])
        )
    return [*sections, Section("Settings", [Settings({"evaluate": settings})])]


def _groups(measured: MeasuredFolder, name: str) -> dict[Set, Groups]:
    found = measured.by_group
    return {} if found is None else {"validation": Groups(found.table, found.facts(), name)}


def _drawings(measured: MeasuredFolder, found: dict[str, Any], params: Params, name: str) -> list[Drawing]:
    drawings: list[Drawing] = []
    if (retrieval := measured.retrieval) is not None:
        query_of, image_of = (
            Images(dict(zip(table["path"], table["image"], strict=True))).own_size
            for table in (measured.query, measured.gallery)
        )
        cameras = dict(zip(measured.query["path"], measured.query["camera"], strict=True))
        tables = per_query(retrieval), cmc_table(retrieval), ranked_table(retrieval)
        drawings += retrieval_drawings(
            RankedSet(*tables, cameras, query_of, image_of), "validation", name, params.report
        )
    drawings += breakdown_drawings(_groups(measured, name))
    if (calibrated := measured.calibrated) is not None:
        curve = calibrated.verification.curve()
        drawings += calibration_drawings(calibrated.figures, curve, calibrated.reliability, name)
    if "attributes_predicted" in found:
        drawings.append(predicted_drawing(found, "validation", name))
    return drawings
