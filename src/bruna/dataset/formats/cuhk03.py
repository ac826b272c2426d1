"""CUHK03-NP, CUHK03 under the protocol of Zhong et al. (2017): the layout of Market-1501, with names of its own.

The release holds the same people twice, cut out by a detector (`detected/`) and by hand (`labeled/`): each is a data
set. A name such as `0003_c2_27.png` is the identity, the view (1 or 2) and a running number.
"""

import re

from bruna.dataset.dataset_file import DatasetFile
from bruna.dataset.formats.base import RESEARCH_ONLY, Format, with_schema
from bruna.dataset.formats.own_layout import TOP, placed
from bruna.dataset.formats.source_files import Files

_NAME = re.compile(r"(train|query|gallery)/(?!0000)\d{4}_c[12]_\d{1,5}\.(png|jpg)", re.ASCII)


def read(files: Files) -> Files:
    """Place the images where all of their names are CUHK03-NP's; nothing where one is not, or the layout says more."""
    found = placed(files)
    if not found or set(found) & set(TOP) or not all(_NAME.fullmatch(place) for place in found):
        return {}
    dataset = DatasetFile(
        name="CUHK03-NP",
        source="Li et al., DeepReID, 2014; Zhong et al., Re-ranking Person Re-identification with k-reciprocal "
        "Encoding, 2017",
        terms=RESEARCH_ONLY,
        cameras="1 and 2: the two views of a person; the names do not tell which pair of cameras took them",
    )
    return with_schema(found, dataset, None, next(iter(files.values())).source)


CUHK03 = Format(
    name="CUHK03-NP",
    layout="labeled/ or detected/: bounding_box_train/, query/, bounding_box_test/ with names such as 0003_c2_27.png",
    follows="the readme of github zhunzhong07/person-re-ranking and the reader of github YZX-codesky/FedSupWA; no real "
    "copy was read",
    read=read,
    signs=("bounding_box_train/",),
)
