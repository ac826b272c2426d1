"""The approximate index beside the rows: which parts its files cover, and erasing them.

Some parts of the index together are a shard: `approximate-NNNNNN.codes` (a few bits a number, to be looked through),
`approximate-NNNNNN.half` (float16, to rank what was found). `approximate.json` tells what each covers, by content: a
shard of parts that are no longer there is none.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from json import loads
from pathlib import Path

from pydantic import ValidationError

from bruna.errors import BrunaError
from bruna.files import read_regular, write_json
from bruna.inference.loading import Strict

_FILE = "approximate.json"
_LARGEST = 1 << 26


@dataclass(frozen=True)
class Shard:
    """Some parts.

    Attributes:
        name: of its files, without the ending.
        contents: of its parts, in the order of its rows.
    """

    name: str
    contents: tuple[str, ...]

    def codes(self, folder: Path) -> Path:
        """The codes of its rows."""
        return folder / f"{self.name}.codes"

    def half(self, folder: Path) -> Path:
        """Its rows in half precision."""
        return folder / f"{self.name}.half"


class _Saved(Strict):
    weight: float
    shards: list[dict[str, str | list[str]]]


@dataclass(frozen=True)
class Shards:
    """All that are whole and cover parts that are there.

    Attributes:
        weight: by which attribute features are multiplied beside features.
        each: the shards.
    """

    weight: float
    each: tuple[Shard, ...] = ()

    def write(self, folder: Path) -> None:
        """Write `approximate.json`, and remove the files of all other shards."""
        saved = {"weight": self.weight, "shards": [asdict(shard) for shard in self.each]}
        write_json(saved, folder / _FILE, sort_keys=False)
        _keep(folder, self.each)


def read_shards(folder: Path, contents: Sequence[str]) -> Shards | None:
    """The shards of an index whose parts hold `contents`; None where none was ever made, or what tells is damaged."""
    try:
        saved = _Saved.model_validate(loads(read_regular(folder / _FILE, _LARGEST)))
        shards = [Shard(str(of["name"]), tuple(of["contents"])) for of in saved.shards]
    except (OSError, ValueError, KeyError, ValidationError, BrunaError):
        return None
    there = set(contents)
    whole = [
        shard
        for shard in shards
        if there.issuperset(shard.contents) and shard.codes(folder).exists() and shard.half(folder).exists()
    ]
    return Shards(saved.weight, tuple(whole))


def drop_shards(folder: Path, contents: Sequence[str], gone: Collection[str]) -> None:
    """Erase the files of shards that cover some parts, and of those that cover nothing.

    Args:
        folder: the index.
        contents: of all its parts.
        gone: of the parts that are about to change.
    """
    found = read_shards(folder, contents)
    left = () if found is None else tuple(shard for shard in found.each if not set(gone) & set(shard.contents))
    _keep(folder, left)  # first: what is listed and lacks its files is no shard
    if found is not None:
        Shards(found.weight, left).write(folder)


def _keep(folder: Path, shards: Sequence[Shard]) -> None:
    names = {shard.name for shard in shards}
    for path in folder.glob("approximate-*"):
        if path.stem not in names:
            with suppress(FileNotFoundError):
                path.unlink()
