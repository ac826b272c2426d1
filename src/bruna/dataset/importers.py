"""Bring a data set from archives and folders into the one layout that the pipeline reads.

Recognised, at the top of a source or one folder down: the course edition (`train/`, `annotations_train.csv`), its
unlabelled part (`test/`, `queries/`), the official Market-1501 release (`bounding_box_train/`, `query/`,
`bounding_box_test/`, `market_attribute.mat`), person masks (`images/*.jpg` with `masks/*.png`), a folder that has the
layout already, and a folder of images for each identity. Images and masks are copied byte for byte, and the data set
is validated before it takes the place of another.
"""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from functools import partial
from pathlib import Path

from bruna.dataset.annotations import ANNOTATIONS, annotations_csv, joined
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.dataset_file import COURSE_ANNOTATIONS, DATASET, DatasetFile, dataset_text
from bruna.dataset.filenames import LABELLED, UNLABELLED_SUBSETS, has_sequence, is_image_name, printable
from bruna.dataset.identities import UNKNOWN_CAMERA
from bruna.dataset.import_checks import (
    MAT,
    annotated_identities,
    check_files,
    labels,
    names_in,
)
from bruna.dataset.import_course import course_annotations
from bruna.dataset.import_market import annotations_of_mat
from bruna.dataset.import_people import folder_per_identity
from bruna.dataset.import_sources import CLUTTER, Files, Source, SourceFile, open_folder, open_source, shown
from bruna.errors import BrunaError, counted
from bruna.files import restore, whole_folder
from bruna.params import Validate
from bruna.progress import track

_PLACES = {folder: folder for folder in LABELLED} | {"bounding_box_train": "train", "bounding_box_test": "gallery"}
"""Folders of labelled images in a source, and their folder in the data set."""
_FOLDERS = (*LABELLED, *UNLABELLED_SUBSETS, "masks")
_TOP = (DATASET, *ANNOTATIONS, *COURSE_ANNOTATIONS)
_UNNAMED = "own data"
_TERMS = "research use only, not to be redistributed"


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
    """

    target: Path
    images: dict[str, int]
    identities: dict[str, int]
    cameras: dict[str, int]
    annotated: dict[str, int]
    ignored: list[str] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    unchanged: bool = False

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
) -> ImportSummary:
    """Build the data set folder from the given sources; it appears whole or stays as it was.

    Args:
        sources: zip archives, folders, or single files such as `market_attribute.mat` and `annotations.csv`.
        target: the data set folder to write.
        masks: one more source, of mask pairs.
        merge: keep what the target folder holds and add to it.
        replace: let the target folder lose files that the sources do not have, and take theirs where they differ.

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
            _put(files, DATASET, dataset_text(DatasetFile(name=_UNNAMED)).encode(), Path(sources[0]))
        if merge:
            kept = dict(old)
            _convert(kept)
            files = kept | _with_old_annotations(files, kept)
        if merge or any(Path(os.path.realpath(source)) == target for source in sources):
            converted = COURSE_ANNOTATIONS
        lost = [name for name in old if name not in files and name not in converted]
        changed = [name for name in old if name in files and _loses(old[name], files[name], name)]
        if (lost or changed) and not replace:
            _refuse_loss(lost, changed, target, merge)
        check_files(files)
        summary = _summary(target, files, annotated_identities(files), ignored)
        if old.keys() == files.keys() and not any(_differ(old[name], files[name]) for name in old):
            return with_changes(summary, unchanged=True)
        with whole_folder(target) as folder:
            _check_space(folder, target, files)
            for part in {Path(name).parent for name in files}:
                (folder / part).mkdir(parents=True, exist_ok=True)
            for name, file in track(sorted(files.items()), f"import into {target.name}", unit="files"):
                (folder / name).write_bytes(file.read())
            damaged = _validate(folder, target, files)
    return with_changes(summary, damaged=damaged)


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
    strange = sorted(found - {*_FOLDERS, *_TOP})
    if strange:
        raise BrunaError(
            f"{target} holds {shown(strange)}, which is no part of a data set, and an import replaces the "
            "whole folder. Give another folder with --to, or move that away."
        )


def _gather(sources: Sequence[Path], masks: Path | None, ignored: list[str], stack: ExitStack) -> Files:
    """The files of all sources, by their place in the data set."""
    files: Files = {}
    for path in sources:
        _add(files, _recognise(open_source(path, stack), ignored))
    if masks is not None:
        pairs = _recognise(open_source(masks, stack), [])
        pairs = {name: file for name, file in pairs.items() if name.startswith("masks/")}
        if not pairs:
            raise BrunaError(f"{masks} holds no mask pairs. Expected images/*.jpg with masks/*.png of equal stem.")
        _add(files, pairs)
    _convert(files)
    return files


def _place(parts: tuple[str, ...]) -> str | None:
    """The path in the data set of a file at `parts` below the root of a source; None where it has none."""
    stem, _, suffix = parts[-1].rpartition(".") if parts else ("", "", "")
    suffix = suffix.lower()
    name = f"{stem}.{suffix}"
    match (*parts[:-1], suffix):
        case (_,) if name in (*_TOP, MAT):
            return name
        case (folder, _) if folder in _PLACES and is_image_name(name):
            return f"{_PLACES[folder]}/{name}"
        case (folder, _) if folder in UNLABELLED_SUBSETS and is_image_name(name):
            return f"{folder}/{name}"
        case ("masks", "images", _) | ("images", _) if is_image_name(name):
            return f"masks/images/{name}"
        case ("masks", "masks", _) | ("masks", _) if is_image_name(name):
            return f"masks/masks/{name}"
    return None


def _placed(source: Source, ignored: list[str]) -> Files:
    """Place the files of a source; those one folder down count only where the top has no data set itself."""
    top = {path: _place(tuple(path.split("/"))) for path in source.files}
    nested = not any(place and place != MAT for place in top.values())
    files: Files = {}
    taken: dict[str, str] = {}
    for path, file in source.files.items():
        place = top[path]
        if place is None and (nested or path.endswith(MAT)):
            place = _place(tuple(path.split("/")[1:]))
        if place is None:
            ignored.append(printable(f"{source.path.name}/{path}" if path != source.path.name else path))
        elif place in files:
            raise BrunaError(
                f"{source.path} holds {printable(place)} twice, as {printable(taken[place])} and as "
                f"{printable(path)}. Keep one of them, and one data set in a source."
            )
        else:
            files[place] = file
            taken[place] = path
    return files


def _recognise(source: Source, ignored: list[str]) -> Files:
    """Place the files of a source that the user gave, which must hold some part of a data set."""
    files = _placed(source, ignored)
    if not files and (files := folder_per_identity(source.files)):
        ignored.clear()
    if not files:
        raise BrunaError(
            f"{source.path} is no data set that is known here (it holds {shown(list(source.files), 3)}). Known are "
            "train/ with annotations_train.csv or dataset.yaml; test/ with queries/; bounding_box_train/, query/, "
            "bounding_box_test/ with market_attribute.mat; images/*.jpg with masks/*.png; a folder of images for each "
            "identity."
        )
    return files


def _add(files: Files, more: Files) -> None:
    for name, file in more.items():
        if name in files and _differ(files[name], file):
            raise BrunaError(
                f"{files[name].source} and {file.source} both hold {printable(name)}, and they differ. Give one of "
                "them."
            )
        files[name] = file


def _differ(one: SourceFile, other: SourceFile) -> bool:
    return one is not other and (one.size != other.size or one.read() != other.read())


def _loses(old: SourceFile, new: SourceFile, name: str) -> bool:
    """Whether a file of the folder would lose something: rows, where it is the annotations."""
    if name == ANNOTATIONS[0]:
        return not set(old.read().splitlines()) <= set(new.read().splitlines())
    return _differ(old, new)


def _convert(files: Files) -> None:
    """Replace the course's annotation files, or `market_attribute.mat`, by annotations.csv and dataset.yaml."""
    coded = {name: files.pop(name) for name in (*COURSE_ANNOTATIONS, MAT) if name in files}
    if not coded:
        return
    present = [name for name in (*coded, *(name for name in _TOP if name in files)) if name != COURSE_ANNOTATIONS[1]]
    if len(present) > 1:
        one, other = present[0], present[1]
        sources = {**files, **coded}
        raise BrunaError(
            f"{sources[one].source} holds {one} and {sources[other].source} holds {other}. Give one of them."
        )
    name, file = next(iter(coded.items()))
    if name == MAT:
        if not all(has_sequence(name) for name in names_in(files, "train")):
            raise BrunaError(
                f"{file.source} holds {MAT}, but the training images are of the course edition, whose identities are "
                "numbered differently. Leave it out and give annotations_train.csv."
            )
        texts = annotations_of_mat(file.read(), f"{file.source} ({MAT})")
        parts = [course_annotations(text, f"{file.source} ({MAT})") for text in texts]
    else:
        parts = [course_annotations(each.read(), f"{name} of {each.source}") for name, each in coded.items()]
    dataset = DatasetFile(
        name="Market-1501" if name == MAT else "Market-1501, course edition",
        terms=_TERMS,
        attributes={attribute.name: attribute.values for attribute in ATTRIBUTES},
    )
    found = joined(parts, str(file.source))
    _put(files, ANNOTATIONS[0], annotations_csv(found), file.source)
    _put(files, DATASET, dataset_text(dataset).encode(), file.source)


def _put(files: Files, name: str, text: bytes, source: Path) -> None:
    files[name] = SourceFile(source, len(text), partial(bytes, text))


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
    return files | {name: SourceFile(files[name].source, len(data), partial(bytes, data))}


def _refuse_loss(lost: list[str], changed: list[str], target: Path, merge: bool) -> None:
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
    raise BrunaError(
        f"{target} holds {' and '.join(losses)}, which would be lost. {advice}, or --to to write another folder."
    )


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
