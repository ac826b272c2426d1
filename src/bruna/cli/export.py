"""The command `bruna export`."""
# ruff: noqa: PLC0415

from pathlib import Path
from typing import Annotated, Any

import typer

from bruna.cli.shared import ARTIFACTS, PARAMS, model_folders, say_next


def export(
    to: Annotated[Path, typer.Option(help="The folder, which is made; an earlier export is replaced.")],
    models: Annotated[Path, typer.Option(help="Where the trained models lie.")] = ARTIFACTS,
) -> None:
    """Write the trained models as ONNX graphs that give the same numbers.

    A graph takes RGB images as bytes, normalises them itself, and runs without
    this package. Each is compared with torch on the validation images before
    it is kept. model.json says what a program has to know; example.py does it
    in NumPy.

    \b
      bruna export --to onnx
      python onnx/example.py photo.jpg another.jpg
    """
    from bruna.params import read_runtime
    from bruna.runtime import limit_instructions, prepare_torch

    runtime = read_runtime(PARAMS)
    limit_instructions(runtime.instructions)
    from bruna.export.folder import EXAMPLE, refuse_place
    from bruna.export.folder import export as export_models
    from bruna.export.onnx_file import refuse_missing
    from bruna.inference.describer import load

    refuse_missing()
    refuse_place(to, model_folders(models))
    chosen = prepare_torch("cpu", runtime.threads)
    report = export_models(load(models, chosen), models, to)
    _tell(to, report)
    say_next(f"python {to / EXAMPLE} PHOTO PHOTO")


def _tell(to: Path, report: dict[str, Any]) -> None:
    from bruna.dataset.filenames import printable
    from bruna.errors import counted
    from bruna.progress import table
    from bruna.retrieval.protocols import FIGURES

    speeds = report["images_per_second"]
    rows: list[tuple[str, str, str, str]] = [
        (f"{name}, images a second", f"{of['torch']:,.0f}", f"{of['onnxruntime']:,.0f}", f"{_size(report, name)} MB")
        for name, of in speeds.items()
    ]
    both = report["validation"]
    for protocol, figures in both.get("torch", {}).items():
        for name in ("map", "rank1"):
            if name in figures:
                row = (f"{figures[name]:.4f}", f"{both['onnxruntime'][protocol][name]:.4f}")
                rows.append((f"{FIGURES[name]}, {protocol} protocol, validation", *row, ""))
    differences = ", ".join(f"{name} {value:.1g}" for name, value in report["differences"].items())
    table(f"{printable(to)}, checked on {counted(report['images'], 'images')}", ("", "torch", "graph", "size"), rows)
    typer.echo(
        f"Largest differences: {differences}. Different attribute values: {report['different_attribute_values']:,}."
    )


def _size(report: dict[str, Any], name: str) -> str:
    return f"{report['bytes'][name] / 1e6:,.1f}"
