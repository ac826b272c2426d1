"""The files of an index, and conditions, damaged in any way."""

import random
import tempfile
from pathlib import Path

from bruna.index.asking import open_index
from bruna.index.store import thumbnails_of
from damage.index import made_index
from fuzz import mutated, outcome

_CONDITIONS = (
    "upcolor = red and camera != 3",
    "\"hat\" = 'yes' or not (camera in (1, 2) and key like '%.jpg')",
    "time >= '2024-05-01' and identity < 7 and junk < 0.5",
)


def fuzz_index(folder: Path, draw: random.Random) -> str:
    """Whoever reads it: a search by photo, one by conditions, the pictures."""
    made = made_index()
    index = Path(tempfile.mkdtemp(dir=folder)) / "people.index"
    index.mkdir()
    for file in (made / "people.index").iterdir():
        (index / file.name).write_bytes(file.read_bytes())
    file = draw.choice(sorted(index.iterdir()))
    whole = file.read_bytes()
    at = draw.choice((0, max(0, len(whole) - 4000)))  # parquet tells at its end what it holds
    file.write_bytes(whole[:at] + mutated(whole[at : at + 4000], draw) + whole[at + 4000 :])
    found = outcome(
        lambda: open_index(index, made / "artifacts", "cpu").search(made / "photos" / "0.jpg", keep_junk=True)
    )
    outcome(lambda: open_index(index, made / "artifacts", "cpu", features=False).search(where="camera != 1"))
    outcome(lambda: thumbnails_of(index))
    return found


def fuzz_conditions(_: Path, draw: random.Random) -> str:
    """As texts that a person may type."""
    text = mutated(draw.choice(_CONDITIONS).encode(), draw).decode(errors="replace")
    people = open_index(made_index() / "people.index", made_index() / "artifacts", "cpu", features=False)
    return outcome(lambda: people.search(where=text))
