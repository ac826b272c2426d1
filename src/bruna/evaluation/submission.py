"""The course's two deliverables as text: `reid_test.txt` and `classification_test.csv`."""

import csv
import io
from collections.abc import Iterable, Sequence

from bruna.dataset.course import ATTRIBUTES, COLUMNS
from bruna.dataset.schema import Task
from bruna.errors import BrunaError


def _columns(attribute: Task) -> tuple[str, ...]:
    """One column for age and the binary attributes, one a colour, multicolor included, for the colours."""
    if not attribute.name.endswith("color"):
        return COLUMNS[attribute.name]
    prefix = attribute.name.removesuffix("color")
    return tuple(prefix + value for value in attribute.values)


CLASSIFICATION_COLUMNS: tuple[str, ...] = ("id", *(c for attribute in ATTRIBUTES for c in _columns(attribute)))
"""Header of `classification_test.csv`: that of the annotations with `upmulticolor` and `downmulticolor`."""


def reid_lines(queries: Sequence[str], gallery: Sequence[str], ranking: Iterable[Sequence[int]]) -> list[str]:
    """Lines of `reid_test.txt`, best image first.

    Args:
        queries: image file name of each query.
        gallery: image file name of each gallery image.
        ranking: gallery indices of each query; -1 (fewer images than asked for) is left out.

    Raises:
        ValueError: there is not one ranking a query.

    >>> reid_lines(["001261.jpg"], ["005883.jpg", "016903.jpg"], [[1, 0, -1]])
    ['001261.jpg: 016903.jpg, 005883.jpg']
    """
    return [
        f"{query}: " + ", ".join(gallery[i] for i in images if i >= 0)
        for query, images in zip(queries, ranking, strict=True)
    ]


def classification_rows(names: Sequence[str], codes: Iterable[Sequence[int]]) -> list[list[str | int]]:
    """Rows of `classification_test.csv` under `CLASSIFICATION_COLUMNS`, values as in the annotations.

    Args:
        names: image file name of each image.
        codes: 12 predicted codes of each image, in the order of `ATTRIBUTES`.

    Returns:
        The file name, age 1 to 4, and 1 (no) or 2 (yes) in every other column; of the colours of a half
        exactly one is 2.

    Raises:
        BrunaError: a code is not one of its attribute.
        ValueError: there are not 12 codes for each name.
    """
    return [[name, *_values(name, image)] for name, image in zip(names, codes, strict=True)]


def _values(name: str, codes: Sequence[int]) -> list[int]:
    values: list[int] = []
    for attribute, code in zip(ATTRIBUTES, codes, strict=True):
        if not 0 <= code < len(attribute.values):
            raise BrunaError(
                f"{name} has code {int(code)} for {attribute.name}, which has {len(attribute.values)} values: every "
                "image of a submission needs a predicted value of every attribute."
            )
        if attribute.name.endswith("color"):
            values += [2 if i == code else 1 for i in range(len(attribute.values))]
        else:
            values.append(int(code) + 1)
    return values


def classification_csv(names: Sequence[str], codes: Iterable[Sequence[int]], attributes: Sequence[Task]) -> str:
    """The whole of `classification_test.csv`, header first, with a final newline.

    In the course's coding (see `classification_rows`) where the attributes are the course's; else a column an
    attribute, which holds its values (nothing where a code is -1).

    Args:
        names: image file name of each image.
        codes: A predicted codes of each image.
        attributes: the A attributes.
    """
    rows: list[Sequence[str | int]]
    if tuple(attributes) == ATTRIBUTES:
        rows = [CLASSIFICATION_COLUMNS, *classification_rows(names, codes)]
    else:
        values = [
            [(*attribute.values, "")[code] for attribute, code in zip(attributes, row, strict=True)] for row in codes
        ]
        rows = [
            ("id", *(attribute.name for attribute in attributes)),
            *((name, *row) for name, row in zip(names, values, strict=True)),
        ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def reid_text(queries: Sequence[str], gallery: Sequence[str], ranking: Iterable[Sequence[int]]) -> str:
    """The whole of `reid_test.txt`, with a final newline; see `reid_lines`."""
    return "".join(line + "\n" for line in reid_lines(queries, gallery, ranking))
