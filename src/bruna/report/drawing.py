"""A picture of the report: the one place that names its file, its caption, its place on the page and what draws it.

Whatever is listed is drawn, kept as a file and shown: a picture cannot be drawn and not shown, nor the reverse.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure

from bruna.report.blocks import Block, Folded, Picture

Set = Literal["validation", "test"]
"""What is measured: the validation identities, or the labelled test set."""
Place = Literal[
    "validation",
    "test",
    "groups",
    "test groups",
    "verification",
    "validation attributes",
    "test attributes",
    "task1",
    "training",
    "data",
]
"""Where on the page: retrieval, groups of people or attributes of one of the two sets, the threshold, Task 1 alone, or
the section of this name."""


@dataclass(frozen=True)
class Drawing:
    """A picture, not drawn yet.

    Attributes:
        stage: the stage that it shows.
        place: where it stands on the page, below the pictures that are listed before it.
        name: of its file, without ending; one stage has no name twice.
        caption: under it.
        alt: what it shows, for readers who do not see it.
        draw: makes the figure.
        fold: the heading that it is folded under; empty where it is open to view.
    """

    stage: str
    place: Place
    name: str
    caption: str
    alt: str
    draw: Callable[[], Figure]
    fold: str = ""

    @property
    def file(self) -> str:
        """Its file below the report's folder, e.g. `train_unet/curves.png`."""
        return f"{self.stage}/{self.name}.png"


Pictures = dict[Place, list[Block]]
"""The pictures of each place of the page: those open to view, then what is folded away."""


def pictures(drawings: Iterable[Drawing], png_of: Callable[[str], bytes]) -> Pictures:
    """Lay out the pictures of the page.

    Args:
        drawings: all of them.
        png_of: gives the bytes of a `Drawing.file`; raises where there is none.

    Raises:
        ValueError: two drawings have the same file.
    """
    shown: Pictures = {}
    folds: dict[tuple[Place, str], list[Block]] = {}
    files: set[str] = set()
    for drawing in drawings:
        if drawing.file in files:
            raise ValueError(f"two pictures are called {drawing.file}")
        files.add(drawing.file)
        picture = Picture(png_of(drawing.file), drawing.caption, drawing.alt)
        if drawing.fold:
            folds.setdefault((drawing.place, drawing.fold), []).append(picture)
        else:
            shown.setdefault(drawing.place, []).append(picture)
    for (place, title), blocks in folds.items():
        shown.setdefault(place, []).append(Folded(title, blocks))
    return shown
