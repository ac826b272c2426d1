"""The tiles on top of a page: every headline metric, once, under the name that it has everywhere."""

from collections.abc import Mapping

from bruna.headlines import HEADLINES, Interval
from bruna.report.page import Tile, TileGroup

_NOTES = {
    "map": "Market-1501 protocol",
    "rank1": "queries whose nearest image is a match",
    "minp": "how soon the last match is found",
    "course_map": "course protocol",
    "attribute_accuracy": "as they are predicted",
    "attribute_balanced_accuracy": "every value counts alike",
    "untrained_map": "Bruna before its training",
    "histogram_map": "colors alone",
    "distractors_queries_map": "queries/ in the gallery too",
    "distractors_queries_rank1": "queries/ in the gallery too",
    "distractors_all_map": "both in the gallery: a lower bound",
    "distractors_all_rank1": "both in the gallery: a lower bound",
    "test_map": "Market-1501 protocol",
    "test_rank1": "queries whose nearest image is a match",
    "test_attribute_accuracy": "as they are predicted",
    "test_attribute_balanced_accuracy": "every value counts alike",
}
"""What a tile says of its number, beside its title and that of its group."""
_VALIDATION, _DISTRACTED = "Validation identities", "Validation identities among unlabelled images"
_TEST, _OTHERS = "Test set", "Data and trainings"
_NO_SHARES = {"split_deviation"}


def tile_groups(
    metrics: Mapping[str, float],
    notes: Mapping[str, str] | None = None,
    intervals: Mapping[str, Interval] | None = None,
) -> list[TileGroup]:
    """All tiles, in the order of `HEADLINES`; a metric that a data set does not have has none.

    Args:
        metrics: headline metrics by name.
        notes: name -> what to say of its number instead of the usual.
        intervals: of the metrics, by name.

    Returns:
        What `evaluate` measures on the validation identities, on them among unlabelled images and on the test set, then
        what the other stages tell.
    """
    said = {**_NOTES, **(notes or {})}
    groups = {title: TileGroup(title, [], title == _OTHERS) for title in (_VALIDATION, _DISTRACTED, _TEST, _OTHERS)}
    for name, headline in HEADLINES.items():
        if name in metrics:
            title = _group(name)
            range_ = interval_text(intervals[name]) if intervals and name in intervals else ""
            tile = Tile(name, headline.title, shown(name, metrics[name]), said.get(name, ""), range_)
            groups[title].tiles.append(tile)
    return [group for group in groups.values() if group.tiles]


def _group(name: str) -> str:
    if HEADLINES[name].stage != "evaluate":
        return _OTHERS
    return _TEST if name.startswith("test_") else _DISTRACTED if name.startswith("distractors_") else _VALIDATION


def shown(name: str, value: float) -> str:
    """A headline metric as text: a share as a percentage, a count with thousands separators."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.2g}" if name in _NO_SHARES else f"{value:.1%}"


def interval_text(interval: Interval) -> str:
    """An interval of shares as text, e.g. `40.0–62.5%`; `too few people` without."""
    if interval.low is None or interval.high is None:
        return str(interval)
    return f"{100 * interval.low:.1f}–{interval.high:.1%}"
