"""What an import reads from: archives, folders and single files, behind one list of names."""

import stat
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bruna.dataset.filenames import printable
from bruna.dataset.formats.source_files import Files, Source, SourceFile, open_folder, read_file, shown
from bruna.dataset.formats.tar_archive import open_tar
from bruna.dataset.formats.zip_archive import open_zip
from bruna.errors import BrunaError

_GIVE = "Give a zip or tar archive, a folder, or a table of images."


class NoFilesError(BrunaError):
    """There is a source, and nothing in it."""


def open_source(path: Path, stack: ExitStack) -> Source:
    """List the files of an archive, a folder, or a single file such as `market_attribute.mat`.

    Args:
        path: what the user gave; below an archive, a folder in it: `cuhk03-np.zip/labeled`.
        stack: closes the archive when the import is over.

    Raises:
        BrunaError: it does not exist, is empty, cannot be read, is encrypted, is beyond the bounds of
            `source_files.py`, or holds a name that leads out of the folder.
    """
    try:
        outer = next((folder for folder in path.parents if folder.is_file()), path)
        status = outer.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise BrunaError(f"{path} does not exist (looked in {Path.cwd()}). {_GIVE}") from None
    except OSError as error:
        raise BrunaError(f"{path} cannot be read: {error.strerror or error}.") from None
    if stat.S_ISDIR(status.st_mode):
        files = open_folder(path).files
    elif not stat.S_ISREG(status.st_mode):
        raise BrunaError(f"{path} is a pipe, a device or a socket. {_GIVE}")
    else:
        files = _of_file(outer, status.st_size, stack)
    if outer != path:
        inner = f"{path.relative_to(outer).as_posix()}/"
        found = {name.removeprefix(inner): file for name, file in files.items() if name.startswith(inner)}
        if not found:
            raise BrunaError(f"{outer} holds no folder {printable(inner)}. It holds {shown(list(files), 3)}.")
        files = found
    if not files:
        raise NoFilesError(f"{path} is empty: it holds no files. {_GIVE}")
    return Source(path, {name: files[name] for name in sorted(files)})


def _of_file(path: Path, size: int, stack: ExitStack) -> Files:
    for opened in (open_zip, open_tar):
        if (files := opened(path, size, stack)) is not None:
            return files
    return {path.name: SourceFile(path, size, partial(read_file, path))}
