"""Pictures of the training set (paper, section 2): who is in it, how often, and how good the images are."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter

from bruna.dataset.schema import Task
from bruna.dataset.tables import attribute_codes, attributes_of
from bruna.report.sheets import Pixels, Sheet, TileSize
from bruna.report.style import CLOTHES_COLORS, COLORS, MUTED, blank, new_figure

SHEET = (3, 8)
"""Rows and columns of a contact sheet."""
_TILE = TileSize(128, 256)
_GAP, _TOP = 12, 46
_COLUMNS = 5


def attribute_shares(train: pd.DataFrame) -> pd.DataFrame:
    """Share of each attribute value over the people and over the images of a training set.

    Args:
        train: a row an image; columns identity and the attributes.

    Returns:
        `attribute`, `value`, `people`, `images` (shares 0..1 of the annotated ones).
    """
    images = attribute_codes(train)
    people = attribute_codes(train.drop_duplicates("identity"))
    rows = [
        (attribute.name, value, _share(people[:, column], code), _share(images[:, column], code))
        for column, attribute in enumerate(attributes_of(train))
        for code, value in enumerate(attribute.values)
    ]
    return pd.DataFrame(rows, columns=["attribute", "value", "people", "images"])


def _share(codes: npt.NDArray[np.int64], code: int) -> float:
    return float((codes == code).sum() / max((codes >= 0).sum(), 1))


def _is_color(attribute: Task) -> bool:
    return set(attribute.values) <= set(CLOTHES_COLORS)


def attributes_shown(train: pd.DataFrame) -> tuple[list[Task], list[Task]]:
    """The attributes of `attributes_figure` and those of `colors_figure`."""
    attributes = attributes_of(train)
    return [a for a in attributes if not _is_color(a)], [a for a in attributes if _is_color(a)]


def attributes_figure(train: pd.DataFrame) -> Figure:
    """How the values of each attribute are spread, but for the colors; `train` as in `attribute_shares`."""
    title = f"Attributes of {train['identity'].nunique():,} identities in {len(train):,} images"
    shown, _ = attributes_shown(train)
    rows = -(-len(shown) // _COLUMNS)
    figure, axes = new_figure(rows, _COLUMNS, width=12, height=0.3 + 1.8 * rows, title=title)
    return _fill(figure, axes, shown, attribute_shares(train))


def colors_figure(train: pd.DataFrame) -> Figure:
    """How the colors of the clothes are spread; `train` as in `attribute_shares`."""
    _, shown = attributes_shown(train)
    figure, axes = new_figure(1, len(shown), width=4.5 * len(shown), height=4.4, title="Colors of the clothes")
    return _fill(figure, axes, shown, attribute_shares(train))


def _fill(figure: Figure, axes: npt.NDArray[Any], attributes: Sequence[Task], shares: pd.DataFrame) -> Figure:
    for cell, attribute in zip(axes.flat, attributes, strict=False):
        _share_bars(cell, attribute, shares[shares["attribute"] == attribute.name])
    for cell in axes.flat[len(attributes) :]:
        blank(cell)
    handles = axes[0, 0].containers
    figure.legend(handles, ["share of the identities", "share of the images"], loc="outside upper right", ncols=2)
    return figure


def _share_bars(axes: Axes, attribute: Task, shares: pd.DataFrame) -> None:
    colored = _is_color(attribute)
    where = np.arange(len(shares))[::-1]
    people, images = shares["people"].to_numpy(), shares["images"].to_numpy()
    axes.barh(where + 0.2, people, height=0.38, color=COLORS[0])
    axes.barh(where - 0.2, images, height=0.38, color=COLORS[1])
    for at, share in zip(where, people, strict=True):
        axes.text(share, at + 0.2, f" {share:.1%}", va="center", fontsize=7, color=MUTED)
    for at, value in zip(where, attribute.values, strict=True):
        if colored:
            swatch: dict[str, Any] = {
                "color": CLOTHES_COLORS[value],
                "mec": MUTED,
                "mew": 0.5,
                "ms": 7,
                "clip_on": False,
            }
            axes.plot(-0.03, at, "s", transform=axes.get_yaxis_transform(), **swatch)
    axes.set_yticks(where, attribute.values)
    axes.tick_params(axis="y", length=0, pad=16 if colored else 3)
    axes.set_xlim(0, 1.2 * max(people.max(), images.max(), 0.01) if colored else 1.2)
    axes.xaxis.set_major_locator(MaxNLocator(4) if colored else FixedLocator([0, 0.5, 1]))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_title(attribute.title)


def images_figure(train: pd.DataFrame) -> Figure:
    """How many images there are of a person, and from a camera; `train` has the columns identity and camera."""
    figure, axes = new_figure(
        1, 2, width=9, height=3.4, title="Images of an identity, and of a camera", width_ratios=[1.6, 1]
    )
    counts = train.groupby("identity").size().to_numpy()
    left, right = axes[0]
    step = max(1, int(np.ceil(counts.max() / 40)))
    left.hist(counts, bins=np.arange(counts.min(), counts.max() + step + 1, step) - 0.5, color=COLORS[0], rwidth=0.9)
    left.margins(y=0.14)  # room for the median's label
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
    left.set_xlabel("images of an identity")
    left.set_ylabel("identities")
    left.yaxis.set_major_locator(MaxNLocator(integer=True))
    left.grid(visible=False, axis="x")
    cameras = train.groupby("camera").size()
    bars = right.bar([str(c) for c in cameras.index], cameras.to_numpy(), color=COLORS[0], width=0.7)
    right.bar_label(bars, labels=[f"{n:,}" for n in cameras], fontsize=7, color=MUTED, padding=2)
    right.set_xlabel("camera")
    right.set_ylabel("images")
    right.grid(visible=False, axis="x")
    return figure


def quality_figure(train: pd.DataFrame) -> Figure:
    """Brightness and sharpness of the images of each camera; `train` has the columns of these names."""
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


def best_sheet(train: pd.DataFrame, image_of: Callable[[str], Pixels]) -> Figure:
    """A contact sheet of the best images, one a person; see `worst_sheet`."""
    best = train.loc[_quality_order(train)[::-1]]
    return _sheet(_first_of_each(best), image_of, "Sharp and evenly lit: the best training images")


def worst_sheet(train: pd.DataFrame, image_of: Callable[[str], Pixels]) -> Figure:
    """A contact sheet of the worst images, one a person: a track of one person is much the same image.

    Args:
        train: a row an image, with unique labels; columns path, identity, brightness and sharpness.
        image_of: gives the pixels of a path; called for the drawn ones only.
    """
    worst = train.loc[_quality_order(train)]
    return _sheet(_first_of_each(worst), image_of, "Blurred, dark or glaring: the worst training images")


def _quality_order(train: pd.DataFrame) -> list[int]:
    """Row labels from the worst image to the best: blurred and far from the usual brightness comes first."""
    off = (train["brightness"] - train["brightness"].median()).abs()
    score = train["sharpness"].rank() - off.rank()
    # Equal scores are put in the order of the paths, so that the sheet does not depend on how pandas sorts.
    order = np.lexsort((train["path"].to_numpy(str), score.to_numpy()))
    return [int(label) for label in train.index[order]]


def _first_of_each(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop_duplicates("identity").head(SHEET[0] * SHEET[1])


def _sheet(rows: pd.DataFrame, image_of: Callable[[str], Pixels], title: str) -> Figure:
    lines, columns = SHEET
    step, line = _TILE.width + _GAP, _TILE.height + 46
    sheet = Sheet(columns * step + _GAP, _TOP + lines * line)
    sheet.text(_GAP, 10, title, 13, fontweight="bold")
    for i, row in enumerate(rows.itertuples()):
        x, y = _GAP + i % columns * step, _TOP + i // columns * line
        sheet.image(image_of(str(row.path)), x, y, _TILE)
        text = f"sharpness {row.sharpness:,.0f}\nbrightness {row.brightness:.2f}"
        sheet.text(x + _TILE.width / 2, y + _TILE.height + 4, text, 8, ha="center")
    return sheet.finish()
