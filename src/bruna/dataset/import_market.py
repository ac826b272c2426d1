"""The attribute file of the official Market-1501 release, as the two annotation files of the data set.

Source: `market_attribute.mat` of github vana77/Market-1501_Attribute (Lin et al., "Improving person
re-identification by attribute and identity learning"). It is a MATLAB struct `market_attribute` with the structs
`test` and `train`; each has 27 rows of numbers, named as the columns of the annotation file and coded the same
way, and `image_index`, a cell row of identities as strings.
"""

import csv
import io
from typing import Any

import numpy as np
import scipy.io

from bruna.dataset.attributes import ANNOTATION_COLUMNS
from bruna.errors import BrunaError

_ORIGIN = "Get market_attribute.mat from github.com/vana77/Market-1501_Attribute."


def annotations_of_mat(data: bytes, name: str) -> tuple[bytes, bytes]:
    """Turn the attribute file into `annotations_train.csv` and `annotations_test.csv`.

    Args:
        data: the bytes of the .mat file.
        name: its name, for messages.

    Returns:
        The two CSV files, one row an identity, in order of identity.

    Raises:
        BrunaError: it is no .mat file or lacks a part.
    """
    try:
        root = scipy.io.loadmat(io.BytesIO(data), simplify_cells=True)
        market = root["market_attribute"]
        return _csv(market["train"], f"{name} (train)"), _csv(market["test"], f"{name} (test)")
    except (KeyError, IndexError, TypeError) as error:
        raise BrunaError(f"{name} has not the structure of the attribute file: no {error}. {_ORIGIN}") from None
    except (ValueError, OSError, NotImplementedError, scipy.io.matlab.MatReadError) as error:
        raise BrunaError(f"{name} cannot be read as a MATLAB file ({error}). {_ORIGIN}") from None


def _csv(part: Any, name: str) -> bytes:
    identities = np.atleast_1d(part["image_index"]).astype(str).astype(int)
    columns = {column: np.atleast_1d(part[column]) for column in ANNOTATION_COLUMNS[1:]}
    for column, values in columns.items():
        if values.shape != identities.shape:
            raise BrunaError(f"{name}: {column} has {values.size} values for {identities.size} identities. {_ORIGIN}")
        if not np.array_equal(values, values.astype(int)):
            raise BrunaError(f"{name}: {column} holds values that are not whole numbers. {_ORIGIN}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(ANNOTATION_COLUMNS)
    for row in np.argsort(identities, kind="stable"):
        writer.writerow([int(identities[row]), *(int(values[row]) for values in columns.values())])
    return text.getvalue().encode()
