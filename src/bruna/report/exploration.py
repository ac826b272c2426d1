"""Pictures of the training set (paper, section 2): who is in it, how often, and how good the images are."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter
from PIL import Image

from bruna.dataset.annotations import HALVES, Annotations
from bruna.dataset.attributes import ATTRIBUTES, Attribute
from bruna.report.sheets import Sheet, TileSize
from bruna.report.style import CLOTHES_COLORS, COLORS, MUTED, new_figure

SHEET = (3, 8)
"""Rows and columns of a contact sheet."""
_TILE = TileSize(128, 256)
_GAP, _TOP = 12, 46


def exploration_figures(manifest: pd.DataFrame, annotations: Annotations, folder: Path) -> dict[str, Figure]:
    """Draw the training images of a data set.

    Args:
        manifest: accepted files; only the subset `train` is drawn.
        annotations: of its identities.
        folder: the data set, from which the contact sheets read their images.

    Returns:
        Figures by file name without ending: `attributes`, `colors`, `images`, `quality`, `best_images`, `worst_images`.
    """
    train = manifest[manifest["subset"] == "train"].reset_index(drop=True)
    shares = attribute_shares(train, annotations)
    order = _quality_order(train)
    best, worst = (_first_of_each(train.loc[rows]) for rows in (order[::-1], order))
    return {
        "attributes": _attributes(train, shares),
        "colors": _clothes_colors(shares),
        "images": _images(train),
        "quality": _quality(train),
        "best_images": _sheet(best, folder, "Sharp and evenly lit: the best training images"),
        "worst_images": _sheet(worst, folder, "Blurred, dark or glaring: the worst training images"),
    }


def attribute_shares(train: pd.DataFrame, annotations: Annotations) -> pd.DataFrame:
    """Share of each attribute value over the people and over the images of a training manifest.

    Returns:
        `attribute`, `value`, `people`, `images` (shares 0..1 of the annotated ones), in the order of `ATTRIBUTES`.
    """
    identities, counts = np.unique(train["identity"].to_numpy(), return_counts=True)
    codes = annotations.of(identities)
    rows = []
    for column, attribute in enumerate(ATTRIBUTES):
        known = codes[:, column] >= 0
        for code, value in enumerate(attribute.values):
            bears = codes[:, column] == code
            people = bears.sum() / max(known.sum(), 1)
            images = counts[bears].sum() / max(counts[known].sum(), 1)
            rows.append((attribute.name, value, float(people), float(images)))
    return pd.DataFrame(rows, columns=["attribute", "value", "people", "images"])


def _attributes(train: pd.DataFrame, shares: pd.DataFrame) -> Figure:
    title = f"Attributes of {train['identity'].nunique():,} people in {len(train):,} images"
    figure, axes = new_figure(2, 5, width=12, height=3.9, title=title)
    return _fill(figure, axes, [a for a in ATTRIBUTES if a.name not in HALVES], shares)


def _clothes_colors(shares: pd.DataFrame) -> Figure:
    figure, axes = new_figure(1, 2, width=9, height=4.4, title="Colours of the clothes")
    return _fill(figure, axes, [a for a in ATTRIBUTES if a.name in HALVES], shares)


def _fill(figure: Figure, axes: npt.NDArray[Any], attributes: list[Attribute], shares: pd.DataFrame) -> Figure:
    for cell, attribute in zip(axes.flat, attributes, strict=True):
        _share_bars(cell, attribute, shares[shares["attribute"] == attribute.name])
    handles = axes[0, 0].containers
    figure.legend(handles, ["share of the people", "share of the images"], loc="outside upper right", ncols=2)
    return figure


def _share_bars(axes: Axes, attribute: Attribute, shares: pd.DataFrame) -> None:
    where = np.arange(len(shares))[::-1]
    people, images = shares["people"].to_numpy(), shares["images"].to_numpy()
    axes.barh(where + 0.2, people, height=0.38, color=COLORS[0])
    axes.barh(where - 0.2, images, height=0.38, color=COLORS[1])
    for at, share in zip(where, people, strict=True):
        axes.text(share, at + 0.2, f" {share:.1%}", va="center", fontsize=7, color=MUTED)
    for at, value in zip(where, attribute.values, strict=True):
        if len(attribute.values) > 4:
            swatch: dict[str, Any] = {
                "color": CLOTHES_COLORS[value],
                "mec": MUTED,
                "mew": 0.5,
                "ms": 7,
                "clip_on": False,
            }
            axes.plot(-0.03, at, "s", transform=axes.get_yaxis_transform(), **swatch)
    axes.set_yticks(where, attribute.values)
    axes.tick_params(axis="y", length=0, pad=16 if len(attribute.values) > 4 else 3)
    axes.set_xlim(0, 1.2 * max(people.max(), images.max(), 0.01) if len(attribute.values) > 4 else 1.2)
    axes.xaxis.set_major_locator(MaxNLocator(4) if len(attribute.values) > 4 else FixedLocator([0, 0.5, 1]))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_title(attribute.title)


def _images(train: pd.DataFrame) -> Figure:
    figure, axes = new_figure(1, 2, width=9, height=3.4, title="Images a person and a camera", width_ratios=[1.6, 1])
    counts = train.groupby("identity").size().to_numpy()
    left, right = axes[0]
    step = max(1, int(np.ceil(counts.max() / 40)))
    left.hist(counts, bins=np.arange(counts.min(), counts.max() + step + 1, step) - 0.5, color=COLORS[0], rwidth=0.9)
    median = float(np.median(counts))
    left.axvline(median, color=COLORS[1], lw=1.5)
    left.annotate(
        f"median {median:g}",
        (median, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, -10),
        textcoords="offset points",
        fontsize=8,
        color=COLORS[1],
    )
    left.set_xlabel("images of a person")
    left.set_ylabel("people")
    left.yaxis.set_major_locator(MaxNLocator(integer=True))
    left.grid(visible=False, axis="x")
    cameras = train.groupby("camera").size()
    bars = right.bar([str(c) for c in cameras.index], cameras.to_numpy(), color=COLORS[0], width=0.7)
    right.bar_label(bars, labels=[f"{n:,}" for n in cameras], fontsize=7, color=MUTED, padding=2)
    right.set_xlabel("camera")
    right.set_ylabel("images")
    right.grid(visible=False, axis="x")
    return figure


def _quality(train: pd.DataFrame) -> Figure:
    figure, axes = new_figure(1, 2, width=9, height=3.6, title="Brightness and sharpness by camera")
    cameras = sorted(train["camera"].unique())
    log_sharpness = np.log10(train["sharpness"].clip(lower=1))
    for cell, values in zip(axes[0], (train["brightness"], log_sharpness), strict=True):
        groups = [values[train["camera"] == camera].to_numpy(float) for camera in cameras]
        _violins(cell, groups)
        cell.set_xticks(range(1, len(cameras) + 1), [str(camera) for camera in cameras])
        cell.set_xlabel("camera")
        cell.grid(visible=False, axis="x")
    brightness, sharpness = axes[0]
    brightness.set_title("Mean luma, 0 black to 1 white")
    sharpness.set_title("Variance of the Laplacian")
    sharpness.yaxis.set_major_locator(MaxNLocator(integer=True))
    sharpness.yaxis.set_major_formatter(lambda exponent, _: f"{10**exponent:,.0f}")
    return figure


def _violins(axes: Axes, groups: list[npt.NDArray[np.float64]]) -> None:
    for at, group in enumerate(groups, start=1):
        # The density estimate divides by the spread: a constant group has none to show.
        if len(group) > 2 and np.ptp(group) > 0:
            parts: Any = axes.violinplot([group], positions=[at], widths=0.85, showextrema=False)
            for part in parts["bodies"]:
                part.set(facecolor=COLORS[0], alpha=0.35, edgecolor="none")
    axes.boxplot(
        groups,
        widths=0.14,
        showfliers=False,
        patch_artist=True,
        boxprops={"facecolor": COLORS[0], "edgecolor": "none"},
        medianprops={"color": "#ffffff", "linewidth": 1.5},
        whiskerprops={"color": COLORS[0]},
        capprops={"visible": False},
    )


def _quality_order(train: pd.DataFrame) -> list[int]:
    """Row labels from the worst image to the best: blurred and far from the usual brightness comes first."""
    off = (train["brightness"] - train["brightness"].median()).abs()
    score = train["sharpness"].rank() - off.rank()
    # Equal scores are put in the order of the paths, so that the sheet does not depend on how pandas sorts.
    return [int(i) for i in np.lexsort((train["path"].to_numpy(str), score.to_numpy()))]


def _first_of_each(rows: pd.DataFrame) -> pd.DataFrame:
    """As many rows as a contact sheet shows, one a person: a track of one person is much the same image."""
    return rows.drop_duplicates("identity").head(SHEET[0] * SHEET[1])


def _sheet(rows: pd.DataFrame, folder: Path, title: str) -> Figure:
    lines, columns = SHEET
    step, line = _TILE.width + _GAP, _TILE.height + 46
    sheet = Sheet(columns * step + _GAP, _TOP + lines * line)
    sheet.text(_GAP, 10, title, 13, fontweight="bold")
    for i, row in enumerate(rows.itertuples()):
        x, y = _GAP + i % columns * step, _TOP + i // columns * line
        with Image.open(folder / str(row.path)) as image:
            sheet.image(np.asarray(image.convert("RGB")), x, y, _TILE)
        text = f"sharpness {row.sharpness:,.0f}\nbrightness {row.brightness:.2f}"
        sheet.text(x + _TILE.width / 2, y + _TILE.height + 4, text, 8, ha="center")
    return sheet.finish()
