"""What a model is registered with: the state of the project that it comes from, by Git and DVC."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bruna.dataset.dataset_file import DATASET, read_dataset_file
from bruna.errors import BrunaError
from bruna.yaml_file import parse, read_text

_NAMED = 5


def refuse_stale(root: Path) -> None:
    """Refuse a project whose outputs are not those of its files.

    Raises:
        BrunaError: `dvc status` tells of a change, or cannot be asked.
    """
    found = _ask(root, sys.executable, "-m", "dvc", "status", "--json")
    try:
        changed: Mapping[str, Any] = json.loads(found.stdout) if found.returncode == 0 else {}
    except ValueError:
        changed = {}
        found.returncode = 1
    if found.returncode:
        reason = (found.stderr or found.stdout).strip().splitlines()
        raise BrunaError(f"`dvc status` failed: {reason[-1] if reason else 'it said nothing'}. Run it in this folder.")
    if changed:
        raise BrunaError(
            "what lies in artifacts/ is not what dvc.yaml, dvc.lock and the data make (`dvc status`):\n"
            + "\n".join(f"  {stage}: {_told(changes)}" for stage, changes in changed.items())
            + "\nNothing was registered. `dvc repro` brings them together."
        )


def _told(changes: Any) -> str:
    """What DVC tells of a stage, in a line."""
    told = []
    for change in changes if isinstance(changes, list) else [changes]:
        if not isinstance(change, Mapping):
            told.append(str(change))
            continue
        for kind, paths in change.items():
            names = [f"{path} ({how})" for path, how in paths.items()] if isinstance(paths, Mapping) else [str(paths)]
            more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            told.append(f"{kind}: {', '.join(names[:_NAMED])}{more}")
    return "; ".join(told)


def state_tags(root: Path) -> dict[str, str]:
    """Git HEAD, whether tracked files differ from it, the MD5 of dvc.lock, the data set's name and MD5.

    What cannot be told (no Git, no data.dvc) is left out.
    """
    tags = {"dvc.lock": hashlib.md5((root / "dvc.lock").read_bytes(), usedforsecurity=False).hexdigest()}
    head = _ask(root, "git", "rev-parse", "HEAD")
    if head.returncode == 0:
        tags["git.commit"] = head.stdout.strip()
        changed = _ask(root, "git", "status", "--porcelain", "--untracked-files=no").stdout.strip()
        tags["git.uncommitted"] = "yes" if changed else "no"
    pointer = root / "data.dvc"
    if pointer.exists():
        outs = parse(read_text(pointer), pointer).get("outs") or [{}]
        tags["data.md5"] = str(outs[0].get("md5", ""))
    if (root / "data" / DATASET).exists():
        tags["data.name"] = read_dataset_file(root / "data").name
    return tags


def _ask(root: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, cwd=root, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))
