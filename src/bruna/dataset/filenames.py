"""What a file's name says: identity and camera of a labelled image, nothing of an unlabelled one.

    PPPP_cC_NNNNNNNNN.jpg      the course edition: identity, camera, scrambled frame
    PPPP_cCsS_NNNNNN_NN.jpg    the official Market-1501: identity, camera, sequence, frame, box

The identity is -1 for junk and 0000 for a distractor; both occur in `gallery/` only.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from bruna.dataset.identities import DISTRACTOR, JUNK, UNLABELLED

LABELLED: tuple[str, ...] = ("train", "query", "gallery")
"""Folders whose file names carry identity and camera."""
UNLABELLED_SUBSETS: tuple[str, ...] = ("queries", "test")
"""Folders whose file names carry nothing."""
MASK_PAIR = "mask_pair"
"""The subset of the pairs in `masks/`."""
SUBSETS: tuple[str, ...] = (*LABELLED, *UNLABELLED_SUBSETS, MASK_PAIR)

# ASCII: \d would take digits of every script.
_COURSE = re.compile(r"(?P<identity>-1|\d{4,9})_c(?P<camera>\d{1,2})_\d+\.jpg", re.ASCII)
_OFFICIAL = re.compile(r"(?P<identity>-1|\d{4,9})_c(?P<camera>\d{1,2})s\d+_\d+_\d+\.jpg", re.ASCII)
_PATTERNS = "PPPP_cC_NNNNNNNNN.jpg or PPPP_cCsS_NNNNNN_NN.jpg (P identity, C camera)"


class NameFacts(NamedTuple):
    """What one file name says.

    Attributes:
        identity: number of the person; 0 distractor, -1 junk, -2 unlabelled.
        camera: from 1; 0 where unknown.
        problem: what is wrong with the name, None if nothing is.
    """

    identity: int
    camera: int
    problem: str | None = None


def name_facts(name: str, subset: str) -> NameFacts:
    """Read the name of a file.

    Args:
        name: the name without folders.
        subset: one of `SUBSETS`; a labelled one demands one of the two patterns.

    Returns:
        The facts; a name that cannot be used has a `problem`, identity -2 and camera 0.
    """
    if subset not in LABELLED:
        problem = None if name.endswith(".jpg") else "not a .jpg file"
        return NameFacts(UNLABELLED, 0, problem)
    match = _COURSE.fullmatch(name) or _OFFICIAL.fullmatch(name)
    if match is None:
        return NameFacts(UNLABELLED, 0, f"the name is not {_PATTERNS}")
    identity, camera = int(match["identity"]), int(match["camera"])
    if camera == 0:
        return NameFacts(UNLABELLED, 0, "camera 0; cameras count from 1")
    if identity in (DISTRACTOR, JUNK) and subset != "gallery":
        kind = "junk" if identity == JUNK else "a distractor"
        return NameFacts(UNLABELLED, 0, f"identity {match['identity']} means {kind}, which only gallery/ may hold")
    return NameFacts(identity, camera)


def spelling_problems(paths: Iterable[str]) -> dict[str, str]:
    """Names that write an identity or a camera with other leading zeros than most names do: 00002 beside 0002.

    They may be one person or two, of data sets that were put together.

    Args:
        paths: images of labelled folders whose names have no problem.

    Returns:
        What is wrong, by path.
    """
    spellings: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    written: dict[tuple[str, int, str], list[str]] = defaultdict(list)
    for path in sorted(paths):
        name = path.rpartition("/")[2]
        match = _COURSE.fullmatch(name) or _OFFICIAL.fullmatch(name)
        for what, text in match.groupdict().items() if match else ():
            spellings[what, int(text)][text] += 1
            written[what, int(text), text].append(path)
    problems: dict[str, str] = {}
    for (what, number), texts in spellings.items():
        usual, *others = (text for text, _ in texts.most_common())
        if what == "camera" or number > 0:
            for text in others:
                where = written[what, number, usual][0]
                problem = f"{what} {number} is written {text} here and {usual} in {where}; write it in one way"
                problems |= dict.fromkeys(written[what, number, text], problem)
    return problems


def printable(name: str | os.PathLike[str]) -> str:
    r"""A name as it can be shown and written: bytes that are not UTF-8, and control characters, as \xNN."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return re.sub("[\x00-\x1f\x7f-\x9f]", lambda found: f"\\x{ord(found[0]):02x}", text)


def name_problem(name: str | os.PathLike[str]) -> str | None:
    """Why no table can hold a name, None if one can."""
    if printable(name) == os.fspath(name):
        return None
    return "its name holds control characters, or bytes that are not UTF-8; rename it"
