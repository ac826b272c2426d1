"""What is measured: the course protocol and the Market-1501 protocol, and the figures under each. Without torch."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class RetrievalProtocol:
    """What is taken out of the gallery. A match is a remaining image of the query's identity (above 0).

    Attributes:
        name: as in metric names.
        title: as on the report page.
        drops_same_camera: drop for each query the images of its identity from its camera, where that camera
            is known; with unknown cameras (0) only the query itself falls away, if it is told where it is.
        drops_self: drop the query itself from the gallery.
        ignores_junk: search no image of identity -1 (distractors, identity 0, stay as negatives).
    """

    name: str
    title: str
    drops_same_camera: bool
    drops_self: bool
    ignores_junk: bool


COURSE = RetrievalProtocol("course", "course protocol", drops_same_camera=False, drops_self=False, ignores_junk=False)
"""The whole gallery counts: the query itself, if it is there, is a hit, and so are same-camera images."""
COURSE_ALONE = replace(COURSE, drops_self=True)
"""The same without the query itself: where no query has a match on another camera, nothing else is measured, and a
query that finds itself first would make every ranking look good."""
MARKET1501 = RetrievalProtocol(
    "market1501", "Market-1501 protocol", drops_same_camera=True, drops_self=True, ignores_junk=True
)
"""Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015, as every later paper applies it."""
PROTOCOLS = (COURSE, MARKET1501)
"""Every protocol that is measured."""

FIGURES = {"map": "mAP", "rank1": "rank-1", "rank5": "rank-5", "rank10": "rank-10", "minp": "mINP"}
"""The figures of a ranking by their names in figures.json, and as tables call them."""
