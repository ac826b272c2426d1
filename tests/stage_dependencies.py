"""Which files of the project can change a stage's result, and whether dvc.yaml lists the same.

They are those that its script imports, directly or indirectly, but for `EXEMPT`. `python tests/stage_dependencies.py`
(`make deps`) writes them into dvc.yaml; the architecture test compares.
"""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import grimp
import yaml

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = "bruna"
EXEMPT: Mapping[str, str] = {
    "src/bruna/__init__.py": "the public names for users' own code; stages import the modules themselves",
    "src/bruna/errors.py": "the exception for users, where there is no result, and the nouns in messages",
    "src/bruna/progress.py": "shows how far a loop is, and hands on what the loop goes through",
    "src/bruna/pipeline/misfits.py": "names settings that do not go with the data set, for messages and `bruna import`",
    "src/bruna/pipeline/check.py": "says before a stage what would stop it; a stage gets its settings as they stand",
    "src/bruna/params.py": "checks values and has no defaults; DVC's `params:` tracks the values",
    "src/bruna/tracking": "takes numbers, pictures and files; a stage gets no number back that is part of a result",
    "stages/harness.py": "calls the stage's script, which writes all figures; what else matters is in bruna.runtime",
}
"""Files, or folders of them, that cannot change a result: no stage depends on them, nor on what only they import.

test_exempt.py trains with a stub in the place of each. The `__init__.py` of a package that holds a docstring alone is
exempt as well.
"""
ONLY_LOGGING = {
    "src/bruna/headlines.py",
    "src/bruna/launching.py",
    "src/bruna/nested.py",
    "src/bruna/presets.py",
    "src/bruna/processes.py",
    "src/bruna/dataset/annotations.py",
    "src/bruna/dataset/dataset_file.py",
    "src/bruna/dataset/facts.py",
    "src/bruna/dataset/filenames.py",
    "src/bruna/dataset/splitting.py",
}
"""Files that exempt ones import for what they log or check, to repeat figures in metrics/, and to start the processes
of a training: a stage depends on them where it imports them itself."""
READS: Mapping[str, str] = {"src/bruna/report/scripts.py": "src/bruna/report/assets"}
"""Modules that read files which nobody imports, and the folder of these: who imports the one depends on the other."""
ALWAYS = {"bruna.runtime"}
"""What the harness calls for every stage, and a result may depend on."""


def imported_names(script: Path) -> set[str]:
    """Dotted names a file imports: `from a import b` gives `a` and `a.b`; imports for type checking count not."""
    names: set[str] = set()
    pending: list[ast.AST] = [ast.parse(script.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        pending.extend(ast.iter_child_nodes(node))
    return names


def with_parents(modules: set[str]) -> set[str]:
    """The modules and the packages round them, whose `__init__` runs first."""
    return {".".join(name.split(".")[: i + 1]) for name in modules for i in range(name.count(".") + 1)}


def file_of(module: str) -> str:
    """Path of a module's file from the top of the project."""
    path = PROJECT / "src" / Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file.relative_to(PROJECT).as_posix()


def only_a_docstring(file: str) -> bool:
    """Whether a Python file does nothing."""
    tree = ast.parse((PROJECT / file).read_text(encoding="utf-8"))
    return ast.get_docstring(tree) is not None and len(tree.body) == 1


def exempt(file: str) -> bool:
    """Whether a file, given by its path from the top of the project, cannot change a result."""
    listed = any(file == path or file.startswith(f"{path}/") for path in EXEMPT)
    return listed or (file.endswith("__init__.py") and only_a_docstring(file))


def code_of_stages() -> dict[str, list[str]]:
    """The project's files that can change a stage's result, by the stage's name.

    Raises:
        ValueError: a stage script imports a module of the package that does not exist.
    """
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    stages: dict[str, list[str]] = {}
    for stage in yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]:
        script = PROJECT / "stages" / f"{stage}.py"
        named = imported_names(script)
        for name in sorted(named - graph.modules):
            if name.split(".")[0] == PACKAGE and name.rpartition(".")[0] not in graph.modules:
                raise ValueError(f"stages/{stage}.py imports {name}, which does not exist")
        found: set[str] = set()
        pending = with_parents((named & graph.modules) | ALWAYS)
        while pending:
            module = pending.pop()
            if not exempt(file_of(module)):
                found.add(module)
                pending |= with_parents(graph.find_modules_directly_imported_by(module)) - found
        files = {file_of(module) for module in found}
        files |= {folder for file, folder in READS.items() if file in files}
        stages[stage] = [f"stages/{stage}.py", *sorted(files)]
    return stages


def declared_code(stage: str) -> list[str]:
    """What dvc.yaml lists of it."""
    deps = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["deps"]
    return [dep for dep in deps if dep.startswith(("src/", "stages/"))]


def write() -> None:
    """Replace the src/ and stages/ lines below each stage's `deps:`; nothing else in dvc.yaml changes."""
    stages = code_of_stages()
    lines: list[str] = []
    stage, in_deps = "", False
    for line in (PROJECT / "dvc.yaml").read_text(encoding="utf-8").splitlines():
        if in_deps and not line.startswith("      - "):
            lines.extend(f"      - {path}" for path in stages[stage])
            in_deps = False
        if in_deps and line.startswith(("      - src/", "      - stages/")):
            continue
        if match := re.fullmatch(r"  (\w+):", line):
            stage = match[1]
        in_deps = in_deps or line == "    deps:"
        lines.append(line)
    (PROJECT / "dvc.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
