"""Which files of the project each stage of dvc.yaml really imports, and whether dvc.yaml says the same.

`python tests/stage_dependencies.py` (`make deps`) writes them into dvc.yaml; the architecture test compares.
"""

import ast
import re
from pathlib import Path

import grimp
import yaml

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = "bruna"


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


def code_of_stages() -> dict[str, list[str]]:
    """The project's files each stage imports, directly or indirectly, by the stage's name.

    Raises:
        ValueError: a stage script imports a module of the package that does not exist.
    """
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    stages: dict[str, list[str]] = {}
    for stage in yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]:
        scripts = [PROJECT / "stages" / f"{stage}.py", PROJECT / "stages" / "harness.py"]
        named = set().union(*(imported_names(script) for script in scripts))
        direct = named & graph.modules
        for name in sorted(named - graph.modules):
            if name.split(".")[0] == PACKAGE and name.rpartition(".")[0] not in graph.modules:
                raise ValueError(f"stages/{stage}.py imports {name}, which does not exist")
        modules = with_parents(direct)
        while more := with_parents(set().union(*(graph.find_upstream_modules(m) for m in modules))) - modules:
            modules |= more
        own = [script.relative_to(PROJECT).as_posix() for script in scripts]
        stages[stage] = own + sorted(file_of(module) for module in modules)
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
