"""The attribute file of the official Market-1501 release, as the two annotation files of the course edition.

Source: `market_attribute.mat` of github vana77/Market-1501_Attribute (Lin et al., "Improving person
re-identification by attribute and identity learning"). It is a MATLAB struct `market_attribute` with the structs
`test` and `train`; each has 27 rows of numbers, named as the columns of the annotation file and coded the same
way, and `image_index`, a cell row of identities as strings.
"""

import csv
import io
from typing import Any

from bruna.dataset.course import ANNOTATION_COLUMNS
from bruna.dataset.formats.mat import as_list, read_mat
from bruna.errors import BrunaError, counted

MAT = "market_attribute.mat"
_ORIGIN = "Get market_attribute.mat from github.com/vana77/Market-1501_Attribute."


def annotations_of_mat(data: bytes, name: str) -> tuple[bytes, bytes]:
    """Turn the attribute file into `annotations_train.csv` and `annotations_test.csv`.

    Args:
        data: the bytes of the .mat file.
        name: its name, for messages.

    Returns:
        The two CSV files, one row an identity, in order of identity.

    Raises:
        BrunaError: it is no .mat file, lacks a part, or the process that reads it breaks down.
    """
    found = read_mat(data, name, _ORIGIN, "market_attribute")
    try:
        market = found["market_attribute"]
        return _csv(market["train"], "train"), _csv(market["test"], "test")
    except BrunaError as error:
        raise BrunaError(f"{name} cannot be used: {error}. {_ORIGIN}") from None
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise BrunaError(f"{name} has not the structure of the attribute file: no {error}. {_ORIGIN}") from None


def _csv(part: Any, name: str) -> bytes:
    identities = [int(identity) for identity in as_list(part["image_index"])]
    columns = {column: as_list(part[column]) for column in ANNOTATION_COLUMNS[1:]}
    for column, values in columns.items():
        if len(values) != len(identities):
            shapes = f"{counted(len(values), 'values')} for {counted(len(identities), 'identities')}"
            raise BrunaError(f"{column} of {name} has {shapes}")
        if any(int(value) != value for value in values):
            raise BrunaError(f"{column} of {name} holds values that are not whole numbers")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(ANNOTATION_COLUMNS)
    for row in sorted(range(len(identities)), key=identities.__getitem__):
        writer.writerow([identities[row], *(int(values[row]) for values in columns.values())])
    return text.getvalue().encode()
