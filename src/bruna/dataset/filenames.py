"""What a file's name says: identity and camera of a labelled image, nothing of an unlabelled one.

    P_cC_REST.jpg      identity, camera (0: unknown), anything
    P_cCsS_REST.jpg    the same with a sequence, as the official Market-1501 has it: 0002_c1s1_000451_03.jpg

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
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""Endings, in any case, of what is taken for an image where a folder is searched."""
UNLABELLED_SUBSETS: tuple[str, ...] = ("queries", "test")
"""Folders whose file names carry nothing."""
MASK_PAIR = "mask_pair"
"""The subset of the pairs in `masks/`."""
FREE = "free"
"""Asks `name_facts` for nothing but the name of an image."""
SUBSETS: tuple[str, ...] = (*LABELLED, *UNLABELLED_SUBSETS, MASK_PAIR)

# ASCII: \d would take digits of every script.
_LABELLED = re.compile(r"(?P<identity>-1|\d{1,9})_c(?P<camera>\d{1,4})(?P<sequence>s\d+)?_.+", re.ASCII | re.DOTALL)
_PATTERN = "IDENTITY_cCAMERA_ANYTHING, such as 0002_c1_000451.jpg (camera 0 where it is unknown)"


class NameFacts(NamedTuple):
    """What one file name says.

    Attributes:
        identity: number of the person; 0 distractor, -1 junk, -2 unlabelled.
        camera: 0 where unknown.
        problem: what is wrong with the name, None if nothing is.
    """

    identity: int
    camera: int
    problem: str | None = None


def name_facts(name: str, subset: str) -> NameFacts:
    """Read the name of a file.

    Args:
        name: the name without folders.
        subset: one of `SUBSETS`, or `FREE`; a labelled one demands the pattern.

    Returns:
        The facts; a name that cannot be used has a `problem`, identity -2 and camera 0.
    """
    if not is_image_name(name):
        return NameFacts(UNLABELLED, 0, f"the name has none of the endings of images: {', '.join(SUFFIXES)}")
    if subset not in LABELLED:
        return NameFacts(UNLABELLED, 0)
    match = _LABELLED.fullmatch(name)
    if match is None:
        return NameFacts(UNLABELLED, 0, f"the name is not {_PATTERN}")
    identity, camera = int(match["identity"]), int(match["camera"])
    if identity in (DISTRACTOR, JUNK) and subset != "gallery":
        kind = "junk" if identity == JUNK else "a distractor"
        return NameFacts(UNLABELLED, 0, f"identity {match['identity']} means {kind}, which only gallery/ may hold")
    return NameFacts(identity, camera)


def is_image_name(name: str) -> bool:
    """Whether a name has one of the endings of images."""
    return name.lower().endswith(SUFFIXES)


def has_sequence(name: str) -> bool:
    """Whether the name of a labelled image has a sequence, as those of the official Market-1501 have."""
    match = _LABELLED.fullmatch(name)
    return match is not None and match["sequence"] is not None


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
        match = _LABELLED.fullmatch(name)
        for what, text in (("identity", match["identity"]), ("camera", match["camera"])) if match else ():
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
