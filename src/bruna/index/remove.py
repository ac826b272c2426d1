"""Erasing images from an index for good, and the receipt of it."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bruna.errors import BrunaError
from bruna.files import whole_file
from bruna.index.opened import Opened
from bruna.index.shards import drop_shards
from bruna.index.store import erase, outline_of, parts_of, read_part

RECEIPTS = "removed.csv"
_HEADER = ("time", "images", "left", "digest")


@dataclass(frozen=True)
class Receipt:
    """What was erased.

    Attributes:
        number: 32 random hex digits, kept nowhere: whoever has them and the keys can show that the digest is theirs.
        time: UTC, ISO 8601.
        keys: of the images that were erased, in order.
        left: images that the index still holds.
        same: keys of images left whose files are byte for byte those of erased ones.
        digest: SHA-256 of the number and the keys, a line each.
    """

    number: str
    time: str
    keys: list[str]
    left: int
    same: list[str]
    digest: str


def remove_images(folder: Path, index: Opened, wanted: npt.NDArray[np.bool_]) -> Receipt:
    """Erase rows of an index (that nobody else writes meanwhile): files that hold one are written again without it, and
    shards that cover one are erased.

    `removed.csv` gets a line that says when, how many, and a digest that tells nobody anything who has not the receipt:
    keys are names of files, which can be guessed, and a plain digest of them could be too.

    Args:
        folder: the index.
        index: what was read from it.
        wanted: N booleans, one or more True.
    """
    parts = [read_part(part, ["key", "digest"]) for part in parts_of(folder)]
    sizes = np.cumsum([len(part) for part in parts])
    if not len(sizes) or sizes[-1] != len(index):
        raise BrunaError(f"{folder} was changed while it was read. Run the same command again.")
    digests = [digest for part in parts for digest in part["digest"].to_pylist()]
    erased = {digest for digest, is_wanted in zip(digests, wanted, strict=True) if is_wanted}
    same = [
        str(key)
        for key, digest, is_wanted in zip(index.keys, digests, wanted, strict=True)
        if not is_wanted and digest in erased
    ]
    per_part = np.split(wanted, sizes[:-1])
    contents = [outline_of(part).contents for part in parts_of(folder)]
    drop_shards(folder, contents, [of for of, gone in zip(contents, per_part, strict=True) if gone.any()])
    erase(folder, per_part)
    keys = sorted(map(str, index.keys[wanted]))
    number = secrets.token_hex(16)
    digest = hashlib.sha256("".join(f"{line}\n" for line in [number, *keys]).encode()).hexdigest()
    time = datetime.now(UTC).isoformat(timespec="seconds")
    receipt = Receipt(number, time, keys, int((~wanted).sum()), same, digest)
    _note(folder / RECEIPTS, receipt)
    return receipt


def _note(file: Path, receipt: Receipt) -> None:
    before = file.read_bytes() if file.exists() else (",".join(_HEADER) + "\n").encode()
    line = f"{receipt.time},{len(receipt.keys)},{receipt.left},{receipt.digest}\n"
    with whole_file(file) as beside:
        beside.write_bytes(before + line.encode())
