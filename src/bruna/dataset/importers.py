"""Bring a data set from archives and folders into the one layout that the pipeline reads.

What they may hold is listed in `formats/known.py`. Images and masks are copied byte for byte, and the data set is
validated before it takes the place of another.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from pathlib import Path

from bruna.dataset.annotations import ANNOTATIONS, annotations_csv, joined
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.dataset_file import COURSE_ANNOTATIONS, DATASET, DatasetFile, dataset_text
from bruna.dataset.filenames import LABELLED, UNLABELLED_SUBSETS, has_sequence, printable
from bruna.dataset.formats.base import RESEARCH_ONLY, source_name, written
from bruna.dataset.formats.course import course_annotations
from bruna.dataset.formats.known import recognise
from bruna.dataset.formats.market1501 import MAT, annotations_of_mat
from bruna.dataset.formats.own_layout import TOP
from bruna.dataset.formats.source_files import CLUTTER, Files, SourceFile, differ, open_folder, shown
from bruna.dataset.formats.sources import open_source
from bruna.dataset.identities import UNKNOWN_CAMERA
from bruna.dataset.import_checks import annotated_identities, check_files, labels, names_in
from bruna.errors import BrunaError, counted
from bruna.files import restore, whole_folder
from bruna.params import Validate
from bruna.progress import track

_FOLDERS = (*LABELLED, *UNLABELLED_SUBSETS, "masks")


@dataclass(frozen=True)
class ImportSummary:
    """What an import wrote.

    Attributes:
        target: the data set folder.
        images: number of images by folder (`train`, `query`, ...; `masks` counts pairs).
        identities: identities by labelled folder, junk and distractors not counted.
        cameras: cameras by labelled folder, unknown ones not counted.
        annotated: identities that have a row in the annotations, by labelled folder.
        ignored: files of the sources that belong to no part of a data set, as `source/path`.
        damaged: images and mask pairs that the validation would set aside, each with the reason.
        unchanged: the folder held the same files before, and nothing was written.
        refused: why the import would stop, where it was only tried: the folder would lose or change files.
    """

    target: Path
    images: dict[str, int]
    identities: dict[str, int]
    cameras: dict[str, int]
    annotated: dict[str, int]
    ignored: list[str] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    unchanged: bool = False
    refused: str = ""

    def rows(self) -> list[tuple[str, int, int | None, int | None, int | None]]:
        """Rows for a closing table: folder, images, identities, cameras, annotated identities."""
        return [
            (
                "masks (pairs)" if part == "masks" else part,
                self.images[part],
                self.identities.get(part),
                self.cameras.get(part),
                self.annotated.get(part),
            )
            for part in _FOLDERS
            if part in self.images
        ]


def import_dataset(
    sources: Sequence[Path],
    target: Path,
    masks: Path | None = None,
    *,
    merge: bool = False,
    replace: bool = False,
    keep: bool = True,
    look: Callable[[Path], None] | None = None,
) -> ImportSummary:
    """Build the data set folder from the given sources; it appears whole or stays as it was.

    Args:
        sources: archives, folders, tables of images, or files such as `market_attribute.mat`.
        target: the data set folder to write.
        masks: one more source, of mask pairs.
        merge: keep what the target folder holds and add to it.
        replace: let the target folder lose files that the sources do not have, and take theirs where they differ.
        keep: False tries it: everything is done but that the new folder takes its place.
        look: is called with a folder that holds the new data set, complete and valid.

    Raises:
        BrunaError: a source is unknown, unsafe or damaged, something is missing or contradicts itself, the
            validation refuses the data set, or the target would lose or change files without `replace`.
    """
    target = Path(os.path.realpath(target))
    restore(target)
    check_target(target, [*sources, *([masks] if masks else [])])
    with ExitStack() as stack:
        ignored: list[str] = []
        files = _gather(sources, masks, ignored, stack)
        old = open_folder(target, everything=True).files if target.is_dir() else {}
        converted: tuple[str, ...] = ()
        if names_in(files, "train") and not {DATASET, *ANNOTATIONS} & {*files, *(old if merge else ())}:
            files[DATASET] = written(dataset_text(DatasetFile(name=source_name(Path(sources[0])))), Path(sources[0]))
        if merge:
            kept = dict(old)
            _convert(kept)
            files = kept | _with_old_annotations(files, kept)
        if merge or any(Path(os.path.realpath(source)) == target for source in sources):
            converted = COURSE_ANNOTATIONS
        lost = [name for name in old if name not in files and name not in converted]
        changed = [name for name in old if name in files and _loses(old[name], files[name], name)]
        refused = _losses(lost, changed, target, merge) if (lost or changed) and not replace else ""
        if refused and keep:
            raise BrunaError(refused)
        check_files(files)
        summary = _summary(target, files, annotated_identities(files), ignored)
        if old.keys() == files.keys() and not any(differ(old[name], files[name]) for name in old):
            if look is not None:
                look(target)
            return with_changes(summary, unchanged=True)
        with (whole_folder if keep else _discarded)(target) as folder:
            _check_space(folder, target, files)
            for part in {Path(name).parent for name in files}:
                (folder / part).mkdir(parents=True, exist_ok=True)
            for name, file in track(
                sorted(files.items()), f"import into {target.name}" if keep else "read", unit="files"
            ):
                (folder / name).write_bytes(file.read())
            damaged = _validate(folder, target, files)
            if look is not None:
                look(folder)
    return with_changes(summary, damaged=damaged, refused=refused)


@contextmanager
def _discarded(target: Path) -> Iterator[Path]:
    """As `whole_folder`, but that the new folder goes when the block ends."""
    with suppress(_TrialEndedError), whole_folder(target) as folder:
        yield folder
        raise _TrialEndedError


class _TrialEndedError(Exception):
    """Ends a trial import: `whole_folder` removes what it has not finished."""


def check_target(target: Path, sources: Sequence[Path] = ()) -> None:
    """Refuse to replace a folder that holds anything but a data set, or one that a source or the user is in."""
    if Path(os.path.realpath(target)) in (here := Path.cwd(), *here.parents):
        raise BrunaError(f"{target} is the working folder, or holds it, and is replaced. Give another with --to.")
    for source in sources:
        if target in Path(os.path.realpath(source)).parents:
            raise BrunaError(f"{source} lies inside {target}, which is replaced. Move it elsewhere first.")
    try:
        found = {entry.name for entry in target.iterdir() if entry.name.lower() not in CLUTTER}
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise BrunaError(f"{target} is a file. Give a folder with --to.") from None
    except OSError as error:
        raise BrunaError(f"{target} cannot be read: {error.strerror or error}. Give a folder with --to.") from None
    strange = sorted(found - {*_FOLDERS, *TOP})
    if strange:
        raise BrunaError(
            f"{target} holds {shown(strange)}, which is no part of a data set, and an import replaces the "
            "whole folder. Give another folder with --to, or move that away."
        )


def _gather(sources: Sequence[Path], masks: Path | None, ignored: list[str], stack: ExitStack) -> Files:
    """The files of all sources, by their place in the data set."""
    files: Files = {}
    for path in sources:
        _add(files, recognise(open_source(path, stack), ignored))
    if masks is not None:
        pairs = recognise(open_source(masks, stack), [])
        pairs = {name: file for name, file in pairs.items() if name.startswith("masks/")}
        if not pairs:
            raise BrunaError(f"{masks} holds no mask pairs. Expected images/*.jpg with masks/*.png of equal stem.")
        _add(files, pairs)
    _convert(files)
    return files


def _add(files: Files, more: Files) -> None:
    for name, file in more.items():
        if name in files and differ(files[name], file):
            raise BrunaError(
                f"{files[name].source} and {file.source} both hold {printable(name)}, and they differ. Give one of "
                "them."
            )
        files[name] = file


def _loses(old: SourceFile, new: SourceFile, name: str) -> bool:
    """Whether a file of the folder would lose something: rows, where it is the annotations."""
    if name == ANNOTATIONS[0]:
        return not set(old.read().splitlines()) <= set(new.read().splitlines())
    return differ(old, new)


def _convert(files: Files) -> None:
    """Replace the course's annotation files, or `market_attribute.mat`, by annotations.csv and dataset.yaml."""
    coded = {name: files.pop(name) for name in (*COURSE_ANNOTATIONS, MAT) if name in files}
    if not coded:
        return
    present = [name for name in (*coded, *(name for name in TOP if name in files)) if name != COURSE_ANNOTATIONS[1]]
    if len(present) > 1:
        one, other = present[0], present[1]
        sources = {**files, **coded}
        raise BrunaError(
            f"{sources[one].source} holds {one} and {sources[other].source} holds {other}. Give one of them."
        )
    name, file = next(iter(coded.items()))
    if name == MAT:
        if strange := [name for name in names_in(files, "train") if not has_sequence(name)]:
            raise BrunaError(
                f"{file.source} holds {MAT}, the attributes of the official Market-1501, but the training images are "
                f"not named as those are (such as {shown(strange, 1)}): their identities are numbered differently. "
                "Leave it out, and give their own annotations."
            )
        texts = annotations_of_mat(file.read(), f"{file.source} ({MAT})")
        parts = [course_annotations(text, f"{file.source} ({MAT})") for text in texts]
    else:
        parts = [course_annotations(each.read(), f"{name} of {each.source}") for name, each in coded.items()]
    dataset = DatasetFile(
        name="Market-1501" if name == MAT else "Market-1501, course edition",
        terms=RESEARCH_ONLY,
        attributes={attribute.name: attribute.values for attribute in ATTRIBUTES},
    )
    found = joined(parts, str(file.source))
    files[ANNOTATIONS[0]] = written(annotations_csv(found), file.source)
    files[DATASET] = written(dataset_text(dataset), file.source)


def _with_old_annotations(files: Files, old: Files) -> Files:
    """Add to new annotations the rows that the folder has besides, where both have the same columns."""
    name = ANNOTATIONS[0]
    if name not in files or name not in old:
        return files
    # What is no UTF-8 is for the validation to tell.
    new, kept = (each.read().decode("utf-8-sig", "surrogateescape").splitlines() for each in (files[name], old[name]))
    if new[:1] != kept[:1]:
        return files
    keys = {line.partition(",")[0] for line in new}
    text = "\n".join([*new, *(line for line in kept if line.partition(",")[0] not in keys), ""])
    data = text.encode("utf-8", "surrogateescape")
    return files | {name: written(data, files[name].source)}


def _losses(lost: list[str], changed: list[str], target: Path, merge: bool) -> str:
    """Say which files would go or change; where the sources are added (`merge`), none goes."""
    losses = []
    if lost:
        counts = Counter(f"in {name.split('/')[0]}/" if "/" in name else "at its top" for name in lost)
        parts = ", ".join(f"{counted(count, 'files')} {place}" for place, count in counts.items())
        losses.append(f"{parts} that the given sources have not ({shown(lost, 3)})")
    if changed:
        losses.append(f"{counted(len(changed), 'files')} that the sources have otherwise ({shown(changed, 3)})")
    advice = (
        "Use --merge --replace to take them from the sources, leave them out of the sources"
        if merge
        else "Use --merge to keep what the folder holds and add to it, --replace to let the sources' files replace them"
    )
    return f"{target} holds {' and '.join(losses)}, which would be lost. {advice}, or --to to write another folder."


def _check_space(folder: Path, target: Path, files: Files) -> None:
    size, free = sum(file.size for file in files.values()), shutil.disk_usage(folder).free
    if size > free:
        raise BrunaError(
            f"{target}: the data set has {size:,} bytes, and the disk there has {free:,} free. Free some space, or "
            "choose a folder on another disk with --to."
        )


def _validate(folder: Path, target: Path, files: Files) -> dict[str, str]:
    """Check the new folder as the first stage will; damaged single images are that stage's choice, and only named."""
    # Great Expectations takes seconds to import: after everything that can be refused without it.
    from bruna.dataset.validation import validate_dataset  # noqa: PLC0415

    try:
        return validate_dataset(folder, Validate(image_size=None, on_bad_image="quarantine")).quarantined
    except BrunaError as error:
        sources = ", ".join(sorted({str(file.source) for file in files.values()}))
        message = str(error).replace(str(folder), sources)
        raise BrunaError(f"{message}\nNothing was imported; {target} is as it was.") from None


def _summary(target: Path, files: Files, annotated: set[int], ignored: list[str]) -> ImportSummary:
    images = {folder: len(names_in(files, folder)) for folder in _FOLDERS if folder != "masks"}
    images["masks"] = len(names_in(files, "masks/images"))
    pairs = {folder: labels(files, folder) for folder in LABELLED if images[folder]}
    people = {folder: {identity for identity, _ in seen if identity > 0} for folder, seen in pairs.items()}
    return ImportSummary(
        target=target,
        images={folder: count for folder, count in images.items() if count},
        identities={folder: len(identities) for folder, identities in people.items()},
        cameras={folder: len({camera for _, camera in seen} - {UNKNOWN_CAMERA}) for folder, seen in pairs.items()},
        annotated={folder: len(identities & annotated) for folder, identities in people.items()},
        ignored=sorted(ignored),
    )
