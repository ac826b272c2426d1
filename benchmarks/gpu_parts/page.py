"""What a run of the GPU benchmark leaves: gpu.json and a page of tables, gpu.md."""

import importlib.metadata
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from measure import number

from bruna.files import whole_file

from .bench import Row


def about(device: torch.device, minutes: float, toy: bool) -> dict[str, str]:
    """The machine, the versions and the date."""
    found = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "GPUs that torch sees": str(torch.cuda.device_count()),
        "driver and memory": _driver(),
        "torch": f"{torch.__version__} (CUDA {torch.version.cuda or 'none'})",
        "torchvision": importlib.metadata.version("torchvision"),
        "machine": f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} CPUs",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "budget": f"{minutes:g} minutes",
    }
    return found | ({"size": "toy: a test of the script, no measurement"} if toy else {})


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version,memory.total", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown: there is no nvidia-smi"
    return "; ".join(found.strip().splitlines())


def write(folder: Path, facts: dict[str, str], parts: dict[str, dict[str, Any]]) -> None:
    """Write both files, whole: what is known so far.

    Args:
        folder: where `gpu.json` and `gpu.md` go.
        facts: of `about`.
        parts: by name: `state`, `seconds`, `reason` where there is one, `tables` and `notes`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "gpu.json") as beside:
        beside.write_text(json.dumps({"about": facts, "parts": parts}, indent=2) + "\n", encoding="utf-8")
    blocks = ["# Bruna on a GPU", _table([{"what": name, "found": value} for name, value in facts.items()])]
    blocks.append(
        _table([{"part": name, "state": of["state"], "seconds": of["seconds"]} for name, of in parts.items()])
    )
    for name, part in parts.items():
        blocks.append(f"## {name}")
        if part.get("reason"):
            blocks.append(f"**{part['state']}**:\n\n```\n{part['reason']}\n```")
        for title, rows in part["tables"].items():
            blocks += [f"### {title}", _table(rows)]
        blocks += ["\n".join(f"- {note}" for note in part["notes"])] if part["notes"] else []
    with whole_file(folder / "gpu.md") as beside:
        beside.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def _table(rows: list[Row]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if not columns:
        return "Nothing."
    lines = [columns, ["---"] * len(columns), *([_text(row.get(column)) for column in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(cell: object) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "NO"
    if cell is None:
        return "–"
    if isinstance(cell, int):
        return f"{cell:,}"
    return number(cell) if isinstance(cell, float) else str(cell).replace("|", "\\|").replace("\n", " ")
