"""Bring a data set from archives and folders into the one layout that the pipeline reads.

Recognised, at the top of a source or one folder down: the course edition (`train/`, `annotations_train.csv`), its
unlabelled part (`test/`, `queries/`), the official Market-1501 release (`bounding_box_train/`, `query/`,
`bounding_box_test/`, `market_attribute.mat`), person masks (`images/*.jpg` with `masks/*.png`) and a folder that
has the layout already. Images and masks are copied byte for byte.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bruna.dataset.filenames import LABELLED, UNLABELLED_SUBSETS
from bruna.dataset.import_checks import (
    ANNOTATIONS,
    MAT,
    Files,
    annotated_identities,
    check_annotated,
    check_files,
    is_official,
    labels,
    names_in,
)
from bruna.dataset.import_market import annotations_of_mat
from bruna.dataset.import_sources import CLUTTER, Source, open_folder, open_source, shown
from bruna.errors import BrunaError, counted
from bruna.files import whole_folder
from bruna.progress import track

_PLACES = {folder: folder for folder in LABELLED} | {"bounding_box_train": "train", "bounding_box_test": "gallery"}
"""Folders of labelled images in a source, and their folder in the data set."""
_FOLDERS = (*LABELLED, *UNLABELLED_SUBSETS, "masks")


@dataclass(frozen=True)
class ImportSummary:
    """What an import wrote.

    Attributes:
        target: the data set folder.
        images: number of images by folder (`train`, `query`, ...; `masks` counts pairs).
        identities: identities by labelled folder, junk and distractors not counted.
        cameras: cameras by labelled folder.
        annotated: identities that have a row, by annotation file.
        ignored: files of the sources that belong to no part of a data set, as `source/path`.
    """

    target: Path
    images: dict[str, int]
    identities: dict[str, int]
    cameras: dict[str, int]
    annotated: dict[str, int]
    ignored: list[str] = field(default_factory=list)

    def rows(self) -> list[tuple[str, int, int | None, int | None, int | None]]:
        """Rows for a closing table: folder, images, identities, cameras, annotated identities."""
        annotated = {
            "train": self.annotated.get(ANNOTATIONS[0]),
            "gallery": self.annotated.get(ANNOTATIONS[1]),
        }
        return [
            (
                "masks (pairs)" if part == "masks" else part,
                self.images[part],
                self.identities.get(part),
                self.cameras.get(part),
                annotated.get(part),
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
        sources: zip archives, folders, or the single files `market_attribute.mat` and `annotations_train.csv`.
        target: the data set folder to write.
        masks: one more source, of mask pairs.
        merge: keep what the target folder holds; a file of the same name is taken from the sources.
        replace: let the target folder lose images that the sources do not have.

    Raises:
        BrunaError: a source is unknown, unsafe or damaged, something is missing or contradicts itself, or the
            target would lose images without `merge` or `replace`.
    """
    target = Path(target).resolve()
    paths = [Path(source) for source in sources]
    check_target(target, [*paths, *([masks] if masks else [])])
    with ExitStack() as stack:
        files: Files = {}
        ignored: list[str] = []
        for path in paths:
            _add(files, _recognise(open_source(path, stack), ignored))
        if masks is not None:
            pairs = _recognise(open_source(Path(masks), stack), [])
            pairs = {name: file for name, file in pairs.items() if name.startswith("masks/")}
            if not pairs:
                raise BrunaError(f"{masks} holds no mask pairs. Expected images/*.jpg with masks/*.png of equal stem.")
            _add(files, pairs)
        _convert_mat(files)
        old = _placed(open_folder(target), []) if target.is_dir() else {}
        if merge:
            files = old | files
        elif not replace:
            _refuse_loss(files, old, target)
        check_files(files)
        annotated = {name: annotated_identities(name, files) for name in ANNOTATIONS if name in files}
        check_annotated(files, annotated)
        with whole_folder(target) as folder:
            for part in {Path(name).parent for name in files}:
                (folder / part).mkdir(parents=True, exist_ok=True)
            for name, (_, read) in track(sorted(files.items()), f"import into {target.name}", unit="files"):
                (folder / name).write_bytes(read())
    return _summary(target, files, annotated, ignored)


def check_target(target: Path, sources: Sequence[Path] = ()) -> None:
    """Refuse to replace a folder that holds anything but a data set, or one that a source lies in."""
    for source in sources:
        if target in source.resolve().parents:
            raise BrunaError(f"{source} lies inside {target}, which is replaced. Move it elsewhere first.")
    if target.exists() and not target.is_dir():
        raise BrunaError(f"{target} is a file. Give a folder with --to.")
    if target.is_dir():
        found = {entry.name for entry in target.iterdir() if entry.name.lower() not in CLUTTER}
        strange = sorted(found - {*_FOLDERS, *ANNOTATIONS})
        if strange:
            raise BrunaError(
                f"{target} holds {shown(strange)}, which is no part of a data set, and an import replaces the "
                "whole folder. Give another folder with --to, or move that away."
            )


def _place(parts: tuple[str, ...]) -> str | None:
    """The path in the data set of a file at `parts` below the root of a source; None where it has none."""
    stem, _, suffix = parts[-1].rpartition(".") if parts else ("", "", "")
    suffix = suffix.lower()
    name = f"{stem}.{suffix}"
    match (*parts[:-1], suffix):
        case ("csv" | "mat",) if name in (*ANNOTATIONS, MAT):
            return name
        case (folder, "jpg" | "jpeg" | "png") if folder in _PLACES:
            return f"{_PLACES[folder]}/{name}"
        case (folder, "jpg") if folder in UNLABELLED_SUBSETS:
            return f"{folder}/{name}"
        case ("masks", "images", "jpg") | ("images", "jpg"):
            return f"masks/images/{name}"
        case ("masks", "masks", "png") | ("masks", "png"):
            return f"masks/masks/{name}"
    return None


def _placed(source: Source, ignored: list[str]) -> Files:
    """Place the files of a source; those one folder down count only where the top has no data set itself."""
    top = {path: _place(tuple(path.split("/"))) for path in source.files}
    nested = not any(place and place != MAT for place in top.values())
    files: Files = {}
    for path, read in source.files.items():
        place = top[path]
        if place is None and (nested or path.endswith(MAT)):
            place = _place(tuple(path.split("/")[1:]))
        if place is None:
            ignored.append(f"{source.path.name}/{path}" if path != source.path.name else path)
        elif place in files:
            raise BrunaError(f"{source.path} holds {place} twice (again as {path}). Keep one data set in a source.")
        else:
            files[place] = (source.path, read)
    return files


def _recognise(source: Source, ignored: list[str]) -> Files:
    """Place the files of a source that the user gave, which must hold some part of a data set."""
    files = _placed(source, ignored)
    if not files:
        raise BrunaError(
            f"{source.path} is no data set that is known here (it holds {shown(list(source.files), 3)}). Known are "
            "train/ with annotations_train.csv; test/ with queries/; bounding_box_train/, query/, "
            "bounding_box_test/ with market_attribute.mat; images/*.jpg with masks/*.png."
        )
    return files


def _add(files: Files, more: Files) -> None:
    for name, (path, read) in more.items():
        if name in files and files[name][1]() != read():
            raise BrunaError(f"{files[name][0]} and {path} both hold {name}, and they differ. Give one of them.")
        files[name] = (path, read)


def _convert_mat(files: Files) -> None:
    """Replace `market_attribute.mat` by the two annotation files."""
    if MAT not in files:
        return
    path, read = files.pop(MAT)
    present = [name for name in ANNOTATIONS if name in files]
    if present:
        raise BrunaError(f"{path} holds {MAT} and {files[present[0]][0]} holds {present[0]}. Give one of them.")
    if not all(is_official(name) for name in names_in(files, "train")):
        raise BrunaError(
            f"{path} holds {MAT}, but the training images are of the course edition, whose identities are "
            "numbered differently. Leave it out and give annotations_train.csv."
        )
    for name, text in zip(ANNOTATIONS, annotations_of_mat(read(), f"{path} ({MAT})"), strict=True):
        files[name] = (path, partial(bytes, text))


def _refuse_loss(files: Files, old: Files, target: Path) -> None:
    lost = [name for name in sorted(old) if name not in files and name not in ANNOTATIONS]
    if lost:
        counts = Counter(name.split("/")[0] for name in lost)
        parts = ", ".join(f"{counted(count, 'files')} in {folder}/" for folder, count in counts.items())
        raise BrunaError(
            f"{target} holds {parts} that the given sources have not ({shown(lost, 3)}), and an import replaces the "
            "whole folder. Use --merge to keep them and add to them, --replace to let them go, or --to to write "
            "another folder."
        )


def _summary(target: Path, files: Files, annotated: dict[str, set[int]], ignored: list[str]) -> ImportSummary:
    images = {folder: len(names_in(files, folder)) for folder in _FOLDERS if folder != "masks"}
    images["masks"] = len(names_in(files, "masks/images"))
    pairs = {folder: labels(files, folder) for folder in LABELLED if images[folder]}
    return ImportSummary(
        target=target,
        images={folder: count for folder, count in images.items() if count},
        identities={folder: len({i for i, _ in seen if i > 0}) for folder, seen in pairs.items()},
        cameras={folder: len({camera for _, camera in seen}) for folder, seen in pairs.items()},
        annotated={name: len(identities) for name, identities in annotated.items()},
        ignored=sorted(ignored),
    )
