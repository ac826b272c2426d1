"""Every picture of the report but Task 1's: from the records of a stage to what `report/` draws of them."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bruna.batches.augment import Augmenter
from bruna.batches.seeds import step_generator
from bruna.batches.store import ImageStore
from bruna.params import Augment, Report
from bruna.pipeline.records import Records
from bruna.report import exploration
from bruna.report.augmentation import augmentation_sheet
from bruna.report.drawing import Drawing, Place
from bruna.report.figures import BRUNA_CURVES, ap_histogram, cmc_curves, curves
from bruna.report.overlays import MaskPair, mask_overlays
from bruna.report.rank_list import Hit, MinedTuple, RankRow, hard_negatives, rank_lists
from bruna.report.retrieval_section import PROTOCOLS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHEET_IMAGES, _SHEET_DRAWS = 5, 8
_SHOWN_TUPLES = 5
AUGMENTATION = "What the trainings see"
"""The heading that the augmentation sheets are folded under."""


def data_drawings(records: Records) -> list[Drawing]:
    """The images of the training identities (paper, section 2): all that carry annotations."""
    tables = "split/train", "split/validation"
    manifest, images = records.table("validate/manifest"), records.images(*tables)
    labels = pd.concat([records.table(name).drop(columns="image") for name in tables])
    people = labels.merge(manifest[["path", "brightness", "sharpness"]], on="path", validate="one_to_one")
    drawing = partial(Drawing, "validate", "data", fold="The images")
    return [
        drawing("attributes", "Attributes.", partial(exploration.attributes_figure, people)),
        drawing("colors", "Colours of the clothes.", partial(exploration.colors_figure, people)),
        drawing("images", "Images a person and a camera.", partial(exploration.images_figure, people)),
        drawing("quality", "Brightness and sharpness.", partial(exploration.quality_figure, people)),
        drawing("best_images", "The best images.", partial(exploration.best_sheet, people, images.own_size)),
        drawing("worst_images", "The worst images.", partial(exploration.worst_sheet, people, images.own_size)),
    ]


def unet_drawings(records: Records) -> list[Drawing]:
    """The U-Net; none where the data set has no mask pairs to train one."""
    settings = records.settings("unet")
    if not settings["trained"]:
        return []
    epochs, pairs = records.csv("train_unet/epochs"), records.table("split/masks")
    seen = partial(augmentation, pairs[pairs["part"] == "train"], settings)
    drawing = partial(Drawing, "train_unet", "training")
    return [
        drawing("overlays", "The U-Net on held-out pairs: best, median and worst.", partial(_overlays, records)),
        drawing("curves", "U-Net: loss and overlap of every epoch.", partial(curves, epochs, title="U-Net")),
        drawing("augmentation", "The U-Net’s images.", seen, fold=AUGMENTATION),
    ]


def _overlays(records: Records) -> "Figure":
    found = records.table("train_unet/held_out")
    size = tuple(records.settings("unet")["image_size"])
    images, masks = records.images("split/masks"), records.images("split/masks", column="mask")
    predicted = records.images("train_unet/held_out", column="probability")

    def pair_of(i: int) -> MaskPair:
        path = found["path"].iloc[i]
        probability = predicted.sized(path, size, "gray")[..., 0] / np.float32(255)
        return MaskPair(images.sized(path, size), masks.sized(path, size, "binary")[..., 0] > 127, probability)

    return mask_overlays(found["iou"].to_numpy(), pair_of)


def bruna_drawings(records: Records) -> list[Drawing]:
    """Bruna and the adversary."""
    epochs, settings = records.csv("train_bruna/epochs"), records.settings("bruna")
    seen = partial(augmentation, records.table("split/train"), settings)
    drawing = partial(Drawing, "train_bruna", "training")
    return [
        drawing(
            "curves",
            "Losses and distances of every epoch (Figure 8 of the paper), and retrieval by the distance of features.",
            partial(curves, epochs, BRUNA_CURVES, "Bruna and the adversary"),
        ),
        drawing(
            "hard_negatives",
            "Hard negatives that the adversary mines, beside a random draw (Figure 6).",
            partial(_hard_negatives, records),
        ),
        drawing("augmentation", "Bruna’s images.", seen, fold=AUGMENTATION),
    ]


def _hard_negatives(records: Records) -> "Figure":
    """Two images of a person, the two negatives that the adversary mines, and two at random from the others."""
    image_of = records.images("split/train").own_size
    tuples = []
    for found in records.table("train_bruna/hard_negatives").head(_SHOWN_TUPLES).to_dict("records"):
        negatives, distances, mined = found["negatives"], found["distances"], found["mined"]
        # The negatives of a tuple are in random order: the first that are not mined are a random draw.
        others = [k for k in range(len(negatives)) if k not in mined][: len(mined)]
        tuples.append(
            MinedTuple(
                anchor=[image_of(path) for path in found["anchors"][:2]],
                anchor_distance=found["anchor_distance"],
                mined=[image_of(negatives[k]) for k in mined],
                mined_distances=[distances[k] for k in mined],
                random=[image_of(negatives[k]) for k in others],
                random_distances=[distances[k] for k in others],
            )
        )
    return hard_negatives(tuples, "What the adversary mines, and what a random draw gives")


def augmentation(table: pd.DataFrame, settings: dict[str, Any]) -> "Figure":
    """Some images of a training table beside random draws of their augmentation.

    Args:
        table: columns path and image.
        settings: of the trained network: the size that it sees and the group `augment` of its stage.
    """
    rows = table.iloc[:: max(1, len(table) // _SHEET_IMAGES)].head(_SHEET_IMAGES)
    images = ImageStore.decode(list(rows["image"]), list(rows["path"]), tuple(settings["image_size"])).pixels
    augmenter = Augmenter(Augment.model_validate(settings["params"]["augment"]))
    drawn, _ = augmenter(images.repeat_interleave(_SHEET_DRAWS, 0), None, step_generator(0, "augmentation sheet"))
    shown = drawn.view(len(images), _SHEET_DRAWS, *drawn.shape[1:]).permute(0, 1, 3, 4, 2).numpy()
    return augmentation_sheet(list(images.permute(0, 2, 3, 1).numpy()), [list(row) for row in shown])


def retrieval_drawings(records: Records, name: Place, params: Report) -> list[Drawing]:
    """The ranking of one set, `validation` or `test`."""
    queries, cmc = records.csv(f"evaluate/queries_{name}"), records.csv(f"evaluate/cmc_{name}")
    protocols = {key: PROTOCOLS[key] for key in cmc.columns.drop("rank")}
    shares = {title: cmc[key].to_numpy() for key, title in protocols.items()}
    precisions = {title: queries[f"{key}_ap"].dropna().to_numpy() for key, title in protocols.items()}
    drawing = partial(Drawing, "evaluate", name)
    found = [
        drawing(
            f"cmc_{name}",
            "Share of the queries with a right image among the first k.",
            partial(cmc_curves, shares, f"CMC, {name}"),
        ),
        drawing(
            f"ap_{name}",
            "How the average precision is spread over the queries.",
            partial(ap_histogram, precisions, f"Average precision of each query, {name}"),
        ),
    ]
    if params.rank_list_queries:
        lists = drawing(
            f"rank_lists_{name}",
            "Queries from the worst to the best average precision, nearest image first (Figure 7 of the paper; "
            "Market-1501 protocol). Under each image: camera and distance.",
            partial(_rank_lists, records, name, queries, params),
        )
        found.insert(0, lists)
    return found


def _rank_lists(records: Records, name: Place, queries: pd.DataFrame, params: Report) -> "Figure":
    """Queries spread evenly from the worst to the best average precision, so that the picture flatters nobody."""
    sides = ("split/validation",) * 2 if name == "validation" else ("split/test/query", "split/test/gallery")
    query_of, image_of = (records.images(side).own_size for side in sides)
    known = queries.dropna(subset="market1501_ap").sort_values(["market1501_ap", "path"])
    chosen = known.iloc[np.unique(np.linspace(0, len(known) - 1, params.rank_list_queries).round().astype(int))]
    ranked = records.table(f"evaluate/ranked_{name}")
    shown = ranked[ranked["rank"] <= params.rank_list_length].sort_values("rank")
    cameras = records.table(sides[0]).set_index("path")["camera"]
    rows = []
    for path, precision in zip(chosen["path"], chosen["market1501_ap"], strict=True):
        near = shown[shown["query"] == path]  # nothing where the junk filter has left nothing
        found = zip(near["path"], near["distance"], near["match"], near["camera"], strict=True)
        hits = [Hit(image_of(hit), distance, match, camera) for hit, distance, match, camera in found]
        rows.append(RankRow(query_of(path), hits, int(cameras[path]), f"AP {precision:.0%}"))
    return rank_lists(rows, params.rank_list_length, f"Rank lists, {name}")
