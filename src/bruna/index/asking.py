"""Asking an index: photos are described, a description is read, the answer is told in words.

people = bruna.open_index("people.index", "artifacts")
found = people.search(["a.jpg", "b.jpg"], where="upcolor = red and camera != 3")
found.results   # a row a result
people.search({"upload.jpg": data})   # the bytes of an image file
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch

from bruna.dataset.decoding import read_file
from bruna.dataset.filenames import name_facts, printable
from bruna.dataset.identities import UNKNOWN_CAMERA
from bruna.errors import BrunaError, counted
from bruna.index.answers import answers_to, notes_on, refuse_junk, threshold_of
from bruna.index.approximate import Approximate, approximate_note
from bruna.index.build import add_images
from bruna.index.conditions import Condition, known, named
from bruna.index.gather import images_of
from bruna.index.header import Header, begin
from bruna.index.opened import Searchable, open_rows
from bruna.index.search import Query, Wish, candidates, each_query, one_query, search, shows_several
from bruna.index.streamed import open_searchable
from bruna.inference.calibration import read_calibration
from bruna.inference.described import Described
from bruna.inference.describer import Describer, load
from bruna.inference.engine import Engine, by_torch
from bruna.inference.images import files_by_id

Photos = str | Path | Sequence[str | Path] | Mapping[str, bytes]
"""Files and folders, or the bytes of image files by their names."""
_NAMED = 3
"""Photos that a note names."""


@dataclass(frozen=True)
class Found:
    """The answer.

    Attributes:
        results: a row a result; columns: `bruna.index.search.COLUMNS`.
        answers: sentences: who is not in the gallery.
        notes: sentences: how the question was understood.
        predicted: of each query by its name, the most probable value of every attribute.
        searched: images that the conditions leave.
    """

    results: pd.DataFrame
    answers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    predicted: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    searched: int = 0


class Index:
    """An index that can be asked; `open_index` and `index_of` make one.

    Attributes:
        rows: its images.
    """

    def __init__(
        self,
        rows: Searchable,
        models: Path,
        device: str | torch.device,
        describer: Describer | None,
        engine: Engine = by_torch,
    ) -> None:
        self.rows, self._engine = rows, engine
        self._models, self._device, self._describer = models, device, describer
        self._mine = None if describer is None else rows.header

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Index({self.rows.name}: {counted(len(self), 'images')})"

    def search(
        self,
        photos: Photos = (),
        *,
        where: str | None = None,
        top: int = 20,
        each: bool = False,
        different_camera: bool = False,
        strict: bool = False,
        max_fmr: float | None = None,
        keep_junk: bool = False,
    ) -> Found:
        """Find a person.

        Args:
            photos: image files or folders, of one person; or the bytes of image files by their names.
            where: a description, and what is known of the images (`bruna.index.query`).
            top: results at most, of each query.
            each: each photo is a query of its own; otherwise the centroid of their features is one.
            different_camera: leave out images from the cameras of the photos.
            strict: leave out images whose predicted values do not fit the description.
            max_fmr: leave out images so far that a greater share of other people is as near.
            keep_junk: neither leave out junk nor refuse photos that show nobody.

        Raises:
            BrunaError: a photo cannot be read or shows nobody, the index is empty, `where` cannot be read, there is
                no photo or no calibration for `max_fmr`, or the camera of a photo is not known.
        """
        if not len(self):
            raise BrunaError(f"{self.rows.name} is empty. `bruna index SOURCE --to {self.rows.name}` adds images.")
        condition = None if where is None else self.rows.condition(where)
        given = _by_name(photos)
        calibration = read_calibration(self._models / "evaluate") if given else None
        described = self._described(given, keep_junk) if given else None
        notes: list[str] = []
        queries = self._queries(described, given, each, different_camera) if described else []
        if described and not each and calibration and shows_several(described, calibration):
            notes.append("the photos seem to show several people: ask for each of them alone (--each)")
        if given and condition is not None and named(condition) and calibration is None and not strict:
            strict = True
            notes.append("without a calibration beside the models the description filters (as with --strict)")
        wish = Wish(
            top=top,
            where=condition,
            strict=strict,
            without=None if keep_junk else self.rows.junk,
            nearer=None if max_fmr is None else threshold_of(calibration, max_fmr, self._models, bool(given)),
            calibration=calibration,
        )
        allowed = candidates(self.rows, wish)
        results = search(self.rows, queries, wish, allowed)
        notes += [*self._own_images(given, set(results["key"])), *notes_on(results, queries, wish)]
        notes += approximate_note(self.rows, queries, wish)
        if condition is not None and not len(allowed):
            notes += self._unknown_to_all(condition)
        predicted = {query.name: self.rows.values(query.codes) for query in queries}
        answers = answers_to(results, queries, wish, max_fmr)
        return Found(results, tuple(answers), tuple(notes), predicted, len(allowed))

    def describer(self, images: int) -> Describer:
        """The networks as the index's engine runs them over so many images.

        Raises:
            BrunaError: as `load`.
        """
        return self._engine(self.load(), images)

    def load(self) -> Describer:
        """The networks in torch, loaded if they are not yet: a search by photo does so too.

        Raises:
            BrunaError: there are none, or others have made the index.
        """
        if self._describer is None:
            describer = load(self._models, self._device)
            self._mine = Header.of(describer, self._models)
            self.rows = self._used_as_mine(self.rows)
            self._describer = describer
        return self._describer

    def reopened(self) -> "Index":
        """The same index as its folder is now; networks that are loaded stay so.

        Raises:
            BrunaError: it cannot be read, or others have made it.
        """
        found = Index(open_rows(Path(self.rows.name)), self._models, self._device, self._describer, self._engine)
        found._mine = self._mine
        found.rows = self._used_as_mine(found.rows)
        return found

    def _used_as_mine(self, rows: Searchable) -> Searchable:
        """Rows whose distance and threshold of junk are as the networks are used."""
        if self._mine is None:
            return rows
        rows.header.refuse_others(self._mine, Path(rows.name), self._models)
        return rows.used_as(self._mine)

    def _described(self, photos: Mapping[str, Path | bytes], keep_junk: bool) -> Described:
        found = self.describer(len(photos)).describe(
            list(photos.values()), names=[*map(printable, photos)], masks=False, skip_unreadable=True
        )
        if found.rejected:
            wrong = "\n".join(f"  {printable(image.name)} {image.reason}" for image in found.rejected[:10])
            raise BrunaError(
                f"found {counted(len(found.rejected), 'photos')} that cannot be read:\n{wrong}\nLeave them out."
            )
        if not keep_junk:
            refuse_junk(found)
        return found

    def _queries(
        self, found: Described, photos: Mapping[str, Path | bytes], each: bool, different_camera: bool
    ) -> list[Query]:
        queries = each_query(found) if each else [one_query(found)]
        if not different_camera:
            return queries
        cameras = [self._cameras(name, photo) for name, photo in photos.items()]
        per_query = cameras if each else [frozenset().union(*cameras)]
        return [replace(query, cameras=of) for query, of in zip(queries, per_query, strict=True)]

    def _own_images(self, photos: Mapping[str, Path | bytes], shown: Collection[str]) -> list[str]:
        """A sentence where photos are among the results, by their keys: being found tells nothing of these."""
        if not photos or not shown:
            return []
        digests = {name: _digest(photo) for name, photo in photos.items()}
        same = self.rows.take(self.rows.find("digest", set(digests.values())))
        there = {digest for key, digest in zip(same.keys, same.digests, strict=True) if key in shown}
        found = [name for name, digest in digests.items() if digest in there]
        if not found:
            return []
        names = ", ".join(map(printable, found[:_NAMED])) + (" ..." if len(found) > _NAMED else "")
        return [f"{names} {'is' if len(found) == 1 else 'are'} in the index too, and found again"]

    def _unknown_to_all(self, condition: Condition) -> list[str]:
        """A sentence for each column of a condition that is empty in the whole index."""
        columns = sorted({part.column for part in known(condition)} - {"junk"})
        blocks = self.rows.blocks(columns) if columns else ()
        there = {name for _, each in blocks for name in columns if pd.notna(each.texts(name)).any()}
        return [f"no image of {printable(self.rows.name)} has a known {name}" for name in columns if name not in there]

    def _cameras(self, name: str, photo: Path | bytes) -> frozenset[str]:
        """The cameras that took a photo: by its row in the index, or by its name."""
        same = self.rows.take(self.rows.find("digest", {_digest(photo)})).texts("camera")
        found = {str(camera) for camera in same if camera is not None}
        facts = name_facts(name.rpartition("/")[2], "train")
        if not found and facts.problem is None and facts.camera != UNKNOWN_CAMERA:
            found = {str(facts.camera)}
        if not found:
            raise BrunaError(
                f"nobody knows the camera of {printable(name)}: it is not in {self.rows.name} with one, and its name "
                'is not like 0002_c1_7.jpg. Name the camera instead: --where "camera != 1".'
            )
        return frozenset(found)


def _digest(photo: Path | bytes) -> str:
    return hashlib.sha256(photo if isinstance(photo, bytes) else read_file(photo)).hexdigest()


def _by_name(photos: Photos) -> dict[str, Path | bytes]:
    if isinstance(photos, Mapping):
        return dict(photos)
    given = [Path(photos)] if isinstance(photos, str | Path) else [Path(photo) for photo in photos]
    return dict(files_by_id(given)) if given else {}


def open_index(
    folder: str | Path,
    models: str | Path = "artifacts",
    device: str | torch.device = "auto",
    *,
    features: bool = True,
    approximate: bool = False,
    engine: Engine = by_torch,
) -> Index:
    """Read an index; of one too large to be held its header alone.

    Args:
        folder: the index.
        models: the pipeline's artifacts folder; the networks are loaded when the first photo comes.
        device: `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`.
        features: False is enough, and faster, where no photo comes.
        approximate: photos are searched by the approximate index (`bruna index --approximate`), which may miss some of
            the nearest images.
        engine: what runs the networks.

    Raises:
        BrunaError: it is no index, or cannot be read.
    """
    rows = Approximate(Path(folder)) if approximate else open_searchable(Path(folder), features=features)
    return Index(rows, Path(models), device, None, engine)


def index_of(source: Path, models: Path, device: str | torch.device, engine: Engine = by_torch) -> Index:
    """Describe the images of a source for this once.

    Raises:
        BrunaError: as `images_of` and `load`, or no image can be read.
    """
    with ExitStack() as stack:
        images = images_of(source, stack)
        folder = Path(stack.enter_context(TemporaryDirectory()))
        describer = load(models, device)
        header = begin(folder, describer, models)
        by, name = engine(describer, images.count), f"describe {printable(source)}"
        added = add_images(folder, [images], by, header, thumbnails=False, name=name)
        rows = replace(open_rows(folder), name=str(source))
    if not len(rows):
        key, reason = next(iter(added.left_out.items()))
        raise BrunaError(f"no image of {source} can be read; the first is {printable(key)}: {printable(reason)}")
    return Index(rows, models, device, describer, engine)
