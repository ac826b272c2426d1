"""An index, and photos to search it by.

`bruna search`, `bruna serve` and `bruna.open_index` read an index in the same way.
"""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from damage import Damage, refusal
from tiny_dataset import write_image
from tiny_models import save_tiny_models

_SEARCH = "bruna search PHOTO"


@cache
def made_index() -> Path:
    """A folder with tiny networks, and an index of two photos by them."""
    from bruna.index.build import add_images
    from bruna.index.gather import images_of
    from bruna.index.header import begin
    from bruna.index.store import writing
    from bruna.inference.describer import load

    folder = Path(tempfile.mkdtemp(prefix="bruna_index_"))
    models, index = save_tiny_models(folder / "artifacts"), folder / "people.index"
    for seed in range(2):
        write_image(folder / "photos" / f"{seed}.jpg", seed)
    people = load(models, "cpu")
    header = begin(index, people, models)
    with ExitStack() as stack, writing(index):
        add_images(index, [images_of(folder / "photos", stack)], people, header, thumbnails=True)
    return folder


def _index(kind: str, says: str, damage: Callable[[Path], object]) -> Damage:
    """What a search says of a damaged copy of the index; `damage` gets its folder."""

    def run(folder: Path) -> str:
        from bruna.index.asking import open_index

        index = shutil.copytree(made_index() / "people.index", folder / "people.index")
        damage(index)
        return refusal(
            lambda: open_index(index, made_index() / "artifacts", "cpu").search(
                made_index() / "photos" / "0.jpg", keep_junk=True
            )
        )

    return Damage(kind, _SEARCH, says, run)


def _photo(kind: str, says: str, write: Callable[[Path], object], *, keep_junk: bool = True) -> Damage:
    """What a search says of a photo; `write` gets its path."""

    def run(folder: Path) -> str:
        from bruna.index.asking import open_index

        write(folder / "photo.jpg")
        people = open_index(made_index() / "people.index", made_index() / "artifacts", "cpu")
        return refusal(lambda: people.search(folder / "photo.jpg", keep_junk=keep_junk))

    return Damage(kind, _SEARCH, says, run)


def _header(old: str, new: str) -> Callable[[Path], object]:
    def change(index: Path) -> None:
        file = index / "index.json"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return change


def _part(index: Path) -> Path:
    (part,) = index.glob("part-*.parquet")
    return part


def _cut(index: Path) -> None:
    _part(index).write_bytes(_part(index).read_bytes()[:-100])


def _of_others(index: Path) -> None:
    """Features of another length, by networks that tell other attributes."""
    _header('"features": 16', '"features": 17')(index)


ROWS = [
    _index("a header that is empty", "index.json is damaged", lambda index: (index / "index.json").write_bytes(b"")),
    _index("a header that is no header", "is damaged", lambda index: (index / "index.json").write_text("[]")),
    _index(
        "a header of a later version",
        "was written by a later version of bruna",
        _header('"version": 1', '"version": 2'),
    ),
    _index("a header without the fingerprint", "models is missing", _header('"models"', '"model"')),
    _index("no header", "is no index: it has no index.json", lambda index: (index / "index.json").unlink()),
    _index("a file of rows that is cut short", "part-000001.parquet cannot be read", _cut),
    _index("rows of another length", "part-000001.parquet does not hold what", _of_others),
    _index("rows of other attributes", "part-000001.parquet does not hold what", _header('"hat"', '"hood"')),
    _index("no rows", "is empty. `bruna index SOURCE --to", lambda index: _part(index).unlink()),
    _photo("a photo that is none", "photo.jpg cannot be read", lambda path: path.write_bytes(b"no image")),
    _photo("a photo that does not exist", "photo.jpg does not exist", lambda path: None),
]
