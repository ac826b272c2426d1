"""What is wrong with a measured set, a sentence each: a figure below its baseline, a junk filter that leaves little."""

from collections.abc import Mapping

from bruna.errors import counted
from bruna.evaluation.retrieval import Retrieval, shown_protocol
from bruna.metrics.baselines import ranking_warnings
from bruna.params import Evaluate
from bruna.retrieval.protocols import MARKET1501

_MOST = 0.5
"""A junk filter that discards more than this share of a gallery is taken to be wrong."""


def retrieval_warnings(
    found: Retrieval, what: str, params: Evaluate, baselines: Mapping[str, float] | None = None
) -> list[str]:
    """What is wrong with a ranked set under the Market-1501 protocol, or under the course's where that is all there is.

    Args:
        found: the set, ranked.
        what: it is called.
        params: it was ranked with.
        baselines: what it has to beat beside a ranking at random -> mAP, under the same protocol.
    """
    protocol = shown_protocol(found.results)
    result = found.results[protocol.name]
    alone = [] if protocol is MARKET1501 else [_alone(what, itself=found.query is found.gallery)]
    if not bool(result.scored.any()):
        return [*alone, f"{what}: no query has a right image in the gallery: nothing is measured of the ranking."]
    below = {"a ranking at random": result.random_mean_average_precision, **(baselines or {})}
    return [
        *alone,
        *_junk_warnings(found, what, params),
        *_unmatched_warnings(found, what),
        *ranking_warnings(result.mean_average_precision, below, f"{what}, {protocol.title}"),
    ]


def _alone(what: str, *, itself: bool) -> str:
    without = ", without the query itself, which that protocol counts as a match elsewhere" if itself else ""
    return (
        f"{what}: no query has a match on another camera, which the {MARKET1501.title} asks for; only the course "
        f"protocol is measured{without}. (The camera stands in the names of images: _c1, _c2; _c0 is unknown.)"
    )


def discarded_warnings(images: int, discarded: int, what: str, params: Evaluate) -> list[str]:
    """What is wrong with the junk filter on a gallery of unlabelled images."""
    return [f"{what}: {_discarded(images, discarded, params)}."] if discarded > _MOST * images else []


def _junk_warnings(found: Retrieval, what: str, params: Evaluate) -> list[str]:
    protocol = shown_protocol(found.results)
    result, discarded = found.results[protocol.name], ~found.kept
    people = found.gallery.gallery.identities > 0
    most = any(bool(some.sum() > _MOST * len(some)) for some in (discarded, discarded[people]))
    if not most and not bool((result.scored & (result.valid == 0)).any()):
        return []
    # The definition stays (a match that is not returned counts as never found), so such a query's precision is 0.
    lost = int((result.scored & (result.offsets.diff() == 0)).sum())
    unfiltered = found.unfiltered[protocol.name].mean_average_precision
    return [
        f"{what}: {_discarded(len(discarded), int(discarded.sum()), params)}. They are "
        f"{int(discarded[people].sum()):,} of {int(people.sum()):,} images of labelled people; of "
        f"{counted(int(result.scored.sum()), 'queries')} {lost:,} have no right image left, which counts as an average "
        f"precision of 0. Without the filter mAP is {unfiltered:.1%}."
    ]


def _unmatched_warnings(found: Retrieval, what: str) -> list[str]:
    protocol = shown_protocol(found.results)
    result = found.results[protocol.name]
    if not result.left_out:
        return []
    where = "on another camera" if protocol is MARKET1501 else "in the gallery"
    return [
        f"{what}: {result.left_out:,} of {counted(len(result.totals), 'queries')} without a right image {where} "
        f"({protocol.title}) are in no mean."
    ]


def _discarded(images: int, discarded: int, params: Evaluate) -> str:
    return (
        f"the junk filter left out {discarded:,} of {images:,} gallery images ({discarded / images:.0%}), which Task 1 "
        f"takes for junk (evaluate.filter_junk, junk_threshold {params.junk_threshold:g})"
    )
