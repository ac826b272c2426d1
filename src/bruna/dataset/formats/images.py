"""Images alone, in one folder or in many."""

from bruna.dataset.dataset_file import DatasetFile
from bruna.dataset.filenames import name_facts
from bruna.dataset.formats.base import Format, flat_name, images_in, source_name, with_schema
from bruna.dataset.formats.source_files import Files
from bruna.errors import BrunaError


def read(files: Files) -> Files:
    """Take every image; names that all tell identity and camera count, else nobody knows who is who."""
    paths = images_in(files)
    if not paths:
        return {}
    names = [path.rpartition("/")[2] for path in paths]
    if len(set(names)) == len(names) and all(name_facts(name, "train").problem is None for name in names):
        return {f"train/{name}": files[path] for name, path in zip(names, paths, strict=True)}
    source = files[paths[0]].source
    placed = {f"train/{flat_name(path)}": files[path] for path in paths}
    if len(placed) < len(paths):
        raise BrunaError(f"{source}: two images get one name when folders are joined to names by _. Rename one.")
    return with_schema(placed, DatasetFile(name=source_name(source), identities=False), None, source)


IMAGES = Format(
    name="images alone",
    layout="*.jpg in any folders; names such as 0002_c1_7.jpg tell identity and camera where all have them",
    follows="docs/reference/data-set.md",
    read=read,
)
