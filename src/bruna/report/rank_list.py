"""Rank lists (Figure 7 of the paper) and the hard negatives that the adversary mines (Figure 6)."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from bruna.report.sheets import Pixels, Sheet, TileSize
from bruna.report.style import BAD, GOOD, MUTED

_GAP = 6
_CAPTION = 24
_HEAD = 30
_TITLE = 36
_TILE = 112
"""Height of an image, pixels: eight rank lists fit on a screen."""
_FITS = 1440
"""Width of a screen, pixels: as many columns of rank lists as fit."""


@dataclass(frozen=True)
class Hit:
    """One retrieved image.

    Attributes:
        image: its pixels.
        distance: from the query, in the ranking's own unit.
        correct: whether it shows the query's identity; None where that is not known.
        camera: its camera, 0 if unknown.
    """

    image: Pixels
    distance: float
    correct: bool | None = None
    camera: int = 0


@dataclass(frozen=True)
class RankRow:
    """A query and what was retrieved for it, best first, filtered and ignored images already left out."""

    query: Pixels
    hits: Sequence[Hit]
    camera: int = 0
    title: str = ""


def rank_lists(rows: Sequence[RankRow], length: int, title: str = "Rank lists") -> Figure:
    """Draw queries, each with its first `length` retrieved images on its right; downward first, then in columns.

    A match has a green frame and a tick, another person a red frame and a cross, an unknown one a grey frame. Under
    each: camera and distance. A row with fewer images ends early.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("rank_lists needs at least one query")
    length = min(length, max(len(row.hits) for row in rows))
    tile = TileSize.like(rows[0].query, _TILE)
    block = (length + 1) * (tile.width + _GAP) + 6 * _GAP
    columns = max(1, min(_FITS // block, -(-len(rows) // 4)))
    lines = -(-len(rows) // columns)
    line = tile.height + _CAPTION
    width = max(columns * block, 560)
    sheet = Sheet(width, _TITLE + _HEAD + lines * line)
    sheet.text(_GAP, 8, title, 12, fontweight="bold")
    if any(hit.correct is not None for row in rows for hit in row.hits[:length]):
        sheet.swatch(width - 330, 12, GOOD, "✓ same person")
        sheet.swatch(width - 170, 12, BAD, "✗ another person")
    for column in range(columns):
        _heads(sheet, column * block + _GAP, tile, length, _TITLE + _HEAD + lines * line)
    for i, row in enumerate(rows):
        column, place = divmod(i, lines)
        _rank_row(sheet, row, length, (column * block + _GAP, _TITLE + _HEAD + place * line), tile)
    return sheet.finish()


def _heads(sheet: Sheet, x: int, tile: TileSize, length: int, bottom: int) -> None:
    """What stands over a column of rank lists, and the line between the queries and what was found."""
    sheet.text(x + tile.width / 2, _TITLE + 4, "query", 9, ha="center", fontweight="bold")
    for rank in range(length):
        middle = _hit_x(x, rank, tile) + tile.width / 2
        sheet.text(middle, _TITLE + 4, str(rank + 1), 9, MUTED, ha="center", fontweight="bold")
    between = x + tile.width + 3 * _GAP
    sheet.line(between, _TITLE + 6, between, bottom - 6)


def _hit_x(x: int, rank: int, tile: TileSize) -> int:
    return x + tile.width + 4 * _GAP + rank * (tile.width + _GAP)


def _rank_row(sheet: Sheet, row: RankRow, length: int, corner: tuple[int, int], tile: TileSize) -> None:
    x, y = corner
    sheet.image(row.query, x, y, tile)
    caption = " ".join(part for part in (_camera(row.camera), row.title) if part)
    sheet.text(x, y + tile.height + 3, caption, 6.5, fontweight="bold")
    for rank, hit in enumerate(row.hits[:length]):
        left = _hit_x(x, rank, tile)
        sheet.image(hit.image, left, y, tile)
        sheet.verdict(left, y, tile, hit.correct)
        caption = " ".join(part for part in (_camera(hit.camera), _distance(hit.distance)) if part)
        sheet.text(left + tile.width / 2, y + tile.height + 3, caption, 7, ha="center")


def _camera(camera: int) -> str:
    return f"c{camera}" if camera else ""


def _distance(distance: float) -> str:
    return f"{distance:.0f}" if distance >= 100 else f"{distance:#.3g}"


@dataclass(frozen=True)
class MinedTuple:
    """What the adversary mined in one tuple (paper, section 3.2.2).

    Attributes:
        anchor: two images of the anchor's identity.
        anchor_distance: Bruna's distance between them.
        mined: the negatives with the smallest predicted distance.
        mined_distances: Bruna's distance from the anchor to each.
        random: as many other negatives of the tuple.
        random_distances: Bruna's distance from the anchor to each.
    """

    anchor: Sequence[Pixels]
    anchor_distance: float
    mined: Sequence[Pixels]
    mined_distances: Sequence[float]
    random: Sequence[Pixels]
    random_distances: Sequence[float]


def hard_negatives(tuples: Sequence[MinedTuple], title: str = "Hard negatives") -> Figure:
    """Draw a row a tuple: the anchor's images | the negatives that the adversary mined | as many random ones.

    Under each image stands Bruna's distance from the anchor (under the first anchor image: none).

    Raises:
        ValueError: there is no tuple.
    """
    if not tuples:
        raise ValueError("hard_negatives needs at least one tuple")
    first = tuples[0]
    tile = TileSize.like(first.anchor[0], 152)
    step, gutter = tile.width + 5 * _GAP, 32
    groups = (len(first.anchor), len(first.mined), len(first.random))
    width = max(2 * _GAP + sum(groups) * step + 2 * gutter, 640)
    line = tile.height + _CAPTION + 4
    sheet = Sheet(width, _TITLE + _HEAD + len(tuples) * line)
    sheet.text(_GAP, 8, title, 12, fontweight="bold")
    starts = (_GAP, _GAP + groups[0] * step + gutter, _GAP + (groups[0] + groups[1]) * step + 2 * gutter)
    heads = ("anchor's identity", "mined by the adversary", "drawn at random")
    for start, head in zip(starts, heads, strict=True):
        sheet.text(start, _TITLE + 4, head, 9, fontweight="bold")
    for start in starts[1:]:
        x = start - (gutter + 5 * _GAP) / 2
        sheet.line(x, _TITLE + 6, x, _TITLE + _HEAD + len(tuples) * line - 8)
    for i, found in enumerate(tuples):
        y = _TITLE + _HEAD + i * line
        blocks = (
            (found.anchor, [None, *[found.anchor_distance] * (len(found.anchor) - 1)]),
            (found.mined, found.mined_distances),
            (found.random, found.random_distances),
        )
        for start, (images, distances) in zip(starts, blocks, strict=True):
            for j, (image, distance) in enumerate(zip(images, distances, strict=True)):
                x = start + j * step
                sheet.image(image, x, y, tile)
                caption = "anchor" if distance is None else f"distance {_distance(distance)}"
                sheet.text(x + tile.width / 2, y + tile.height + 3, caption, 8, ha="center")
    return sheet.finish()
