"""How every figure of the project looks: one palette, one type size, one way to write a PNG.

No `pyplot`: figures are plain objects that nobody has to close, drawn by Agg wherever they are saved.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import numpy.typing as npt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from bruna.files import whole_file

DPI = 120
"""Pixels an inch of every figure."""
INK = "#22303c"
"""Titles and labels."""
MUTED = "#6b7a88"
"""Ticks, notes, whatever should stand back."""
GRID = "#e3e8ec"
PAPER = "#ffffff"
COLORS: tuple[str, ...] = (
    "#2f6f9f",  # blue: the first or only series, training
    "#e08a2e",  # orange: the second, validation
    "#3f9c7a",  # green
    "#b5495b",  # red
    "#7a66a8",  # violet
    "#8c7a5b",  # brown
    "#4fb0c6",  # cyan
    "#c9b037",  # mustard
)
"""Series colours, told apart by people with the usual kinds of colour blindness as far as the third."""
TRAIN, VALIDATION = COLORS[0], COLORS[1]
GOOD, BAD = "#3f9c7a", "#c0392b"
"""A right match and a wrong one, a frame round an image."""
SEQUENTIAL = "Blues"
"""Colour map of a matrix of shares (confusion)."""

CLOTHES_COLORS: Mapping[str, str] = MappingProxyType(
    {
        "black": "#2b2b2b",
        "white": "#f2f2ee",
        "red": "#c0392b",
        "pink": "#e89ab5",
        "purple": "#7a4fa3",
        "yellow": "#e3c23b",
        "gray": "#9aa3ab",
        "blue": "#2f6fb5",
        "green": "#4a9b57",
        "brown": "#8a5f3c",
        "multicolor": "#d9a9d0",
    }
)
"""What the colour values of `upcolor` and `downcolor` look like."""

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs on every machine
    "font.size": 9.0,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=COLORS),
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "lines.linewidth": 1.8,
    "patch.edgecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "figure.facecolor": PAPER,
    "figure.dpi": DPI,
}


def new_figure(
    rows: int = 1,
    columns: int = 1,
    *,
    width: float = 7.2,
    height: float = 4.2,
    title: str | None = None,
    **subplots: Any,
) -> tuple[Figure, npt.NDArray[Any]]:
    """Make an empty figure in the project's style.

    Args:
        rows: rows of axes.
        columns: columns of axes.
        width: of the whole figure, inches (120 pixels each).
        height: of the whole figure, inches.
        title: set in bold at the top left, over all axes.
        **subplots: what `Figure.subplots` takes, such as `sharex=True` or `width_ratios=...`.

    Returns:
        The figure and its axes, always a rows x columns array.
    """
    mpl.rcdefaults()  # a matplotlibrc of the user's would change the pictures
    mpl.rcParams.update(_STYLE)
    figure = Figure(figsize=(width, height), layout="constrained")
    if title is not None:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    axes: npt.NDArray[Any] = figure.subplots(rows, columns, squeeze=False, **subplots)
    return figure, axes


def blank(axes: Axes) -> None:
    """Take away ticks, grid and spines: the cell of an image, or an empty cell."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def png_bytes(figure: Figure) -> bytes:
    """A figure as PNG; an equal figure gives equal bytes on one machine.

    `Figure.savefig` would draw it twice, the first time for the layout alone, and write a fourth channel that says
    opaque everywhere.
    """
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(DPI)
    canvas.draw()  # type: ignore[no-untyped-call]
    width, height = canvas.get_width_height(physical=True)
    pixels = bytes(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    image = Image.frombuffer("RGBA", (width, height), pixels).convert("RGB")
    buffer = io.BytesIO()
    # The usual level 6 takes three times as long for sheets of photographs, and saves 3% of the bytes.
    image.save(buffer, format="PNG", dpi=(DPI, DPI), compress_level=4)
    return buffer.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole."""
    with whole_file(path) as beside:
        beside.write_bytes(png_bytes(figure))
