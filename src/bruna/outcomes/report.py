"""The report page: every stage's figures on one self-contained page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bruna.files import read_json
from bruna.report.blocks import Block, Folded, Note, Picture, Settings, Table
from bruna.report.page import Section, Tile, write_report

_RETRIEVAL = {"map": "mAP", "rank1": "rank-1", "rank5": "rank-5", "rank10": "rank-10", "minp": "mINP"}
_PROTOCOLS = {"course": "course", "market1501": "Market-1501"}
_SETS = {
    "validation": "Validation identities, every image both query and gallery",
    "test": "Test set, its own query and gallery folders",
}
_PERCENT = dict.fromkeys((*_RETRIEVAL.values(), "acc", "prec", "rec", "majority"), "{:.1%}")


def write_page(
    path: Path, metrics: Mapping[str, Any], *, artifacts: Path, plots: Path, settings: Mapping[str, Any]
) -> None:
    """Write the page.

    Args:
        path: of the page.
        metrics: of the stage `evaluate`.
        artifacts: the folder of all stages' outputs: curves, tables and pictures of the stages before.
        plots: the pictures of the stage `evaluate`.
        settings: the group `evaluate`.
    """
    table1 = pd.read_csv(artifacts / "plots" / "train_attributes" / "table1.csv")
    sections = [
        _retrieval(metrics, plots),
        _attributes(table1, artifacts / "plots" / "train_attributes"),
        _training(artifacts / "plots"),
        _data(artifacts / "plots"),
        _settings(artifacts, settings),
    ]
    write_report(
        path,
        "Bruna: person re-identification and attributes",
        "Every figure is measured on people that no network of this run was trained on, unless it says “train”.",
        _tiles(metrics, table1),
        sections,
        footer="Made by the stage evaluate. The same figures are in metrics/ and in MLflow (make ui).",
    )


def _tiles(metrics: Mapping[str, Any], table1: pd.DataFrame) -> list[Tile]:
    found = metrics["validation"]
    twelve = table1.iloc[-1]
    tiles = [
        Tile("mAP", f"{found['market1501']['map']:.1%}", "Market-1501 protocol, validation"),
        Tile("rank-1", f"{found['market1501']['rank1']:.1%}", "Market-1501 protocol, validation"),
        Tile("mAP", f"{found['course']['map']:.1%}", "course protocol, validation"),
        Tile("Attributes", f"{twelve['validation/acc']:.1%}", "mean accuracy of the 12, validation"),
        Tile("Attributes", f"{twelve['validation/rec']:.1%}", "mean balanced accuracy of the 12, validation"),
    ]
    if "test" in metrics:
        tiles.insert(2, Tile("mAP", f"{metrics['test']['market1501']['map']:.1%}", "Market-1501 protocol, test set"))
    return tiles


def _row(values: Mapping[str, Any], name: str, protocol: str) -> dict[str, Any]:
    return {"what": name, "protocol": _PROTOCOLS[protocol]} | {
        title: values[protocol].get(key, float("nan")) for key, title in _RETRIEVAL.items()
    }


def _retrieval(metrics: Mapping[str, Any], plots: Path) -> Section:
    blocks: list[Block] = []
    for name in (name for name in _SETS if name in metrics):
        found = metrics[name]
        rows = []
        for protocol in _PROTOCOLS:
            rows.append(_row(found, "Bruna", protocol))
            if found["left_out_as_junk"]:
                rows.append(_row(found["unfiltered"], "Bruna, junk filter off", protocol))
            if name == "validation":
                rows.append(_row(metrics["baselines"]["histogram"], "colour histograms", protocol))
        blocks.append(Table(pd.DataFrame(rows), _SETS[name], _PERCENT, strong=["Bruna"]))
        counts = found["market1501"]
        blocks.append(
            f"{counts['queries']:,} queries with a match, {counts['left_out']:,} without; {found['gallery']:,} "
            f"gallery images, of which Task 1’s junk class left out {found['left_out_as_junk']:,}."
        )
        blocks += _pictures(
            plots,
            {
                f"rank_lists_{name}": "Queries from the worst to the best average precision, nearest image first.",
                f"cmc_{name}": "Share of the queries with a right image among the first k.",
                f"ap_{name}": "How the average precision is spread over the queries.",
            },
        )
    blocks.append(
        Note(
            "The course protocol leaves the query itself in the gallery and counts it as a hit, and same-camera images "
            "too: its figures are no measure of finding a person again on another camera. The Market-1501 protocol is. "
            "A validation gallery is far smaller than the official test gallery: equal figures are not equal quality."
        )
    )
    return Section("Retrieval", blocks)


def _attributes(table1: pd.DataFrame, plots: Path) -> Section:
    blocks: list[Block] = [
        Table(
            table1,
            "Table 1: accuracy, macro precision, macro recall (balanced accuracy), share of the commonest value",
            _PERCENT,
            strong=list(table1["task"].iloc[-2:]),
        ),
        *_pictures(
            plots,
            {
                "attributes": "A head that only names the commonest value reaches its mark, no more.",
                "operating_points": "What each head would score if it leaned more to rare values: all figures on this "
                "page are those of the orange points.",
            },
        ),
        Folded(
            "Confusion matrices and curves",
            _pictures(
                plots,
                {
                    "confusion_validation": "Validation identities.",
                    "confusion_train": "Training identities.",
                    "curves": "Losses and accuracies of every epoch.",
                },
            ),
        ),
    ]
    return Section("Attributes", blocks)


def _training(plots: Path) -> Section:
    pictures = {
        "train_bruna/curves": "Losses, distances and mAP of every epoch (Figure 8 of the paper).",
        "train_bruna/hard_examples": "What the adversary picks, beside a random draw (Figure 6).",
        "train_unet/overlays": "The U-Net on held-out pairs: best, median and worst.",
        "train_unet/curves": "U-Net: loss and overlap of every epoch.",
    }
    return Section("Training", _pictures(plots, pictures))


def _data(plots: Path) -> Section:
    blocks: list[Block] = []
    balance = plots / "split" / "balance.csv"
    if balance.exists():
        table = pd.read_csv(balance)
        blocks.append(Folded("How evenly the split shares the attribute values", [Table(table, "", {})]))
    names = sorted(path.stem for path in (plots / "validate").glob("*.png"))
    blocks.append(Folded("The images", _pictures(plots / "validate", {name: name.replace("_", " ") for name in names})))
    return Section("Data", blocks)


def _settings(artifacts: Path, settings: Mapping[str, Any]) -> Section:
    folders = ("unet", "attributes", "bruna")
    groups = {name: read_json(artifacts / name / "settings.json") for name in folders}
    return Section("Settings", [Settings({**groups, "evaluate": dict(settings)})])


def _pictures(plots: Path, captions: Mapping[str, str]) -> list[Block]:
    """The pictures that exist: a data set without masks has no overlays."""
    found = [(plots / f"{name}.png", caption) for name, caption in captions.items()]
    return [Picture(path.read_bytes(), caption) for path, caption in found if path.exists()]
