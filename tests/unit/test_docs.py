"""The docs name files, anchors and modules that exist, and their lines can be read in a terminal."""

import ast
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "src" / "bruna"
DOCS = PROJECT / "docs"
_TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
PAGES = [*(PROJECT / name for name in _TOP), *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)]
SETTINGS = [PROJECT / name for name in ("params.yaml", "dvc.yaml", "Makefile")] + sorted(PROJECT.glob("presets/*.yaml"))
_ROOMS = ("src", "stages", "tests", "benchmarks", "docs")
CODE = sorted(path for room in _ROOMS for path in (PROJECT / room).rglob("*.py"))
WIDTH = 120
TORCHREID = {"rank.py"}
"""Files of others that the docs name."""

_FROM_TOP = re.compile(r"(?<![\w/.])(?:src|tests|docs|stages|benchmarks|presets)/[\w./*<>-]+\.(?:py|md|yaml|txt)\b")
_IN_BACKTICKS = re.compile(r"`([\w.<>*-]+(?:/[\w.<>*-]+)*/?)`")
_MODULE = re.compile(r"(?<![\w.])(bruna(?:\.\w+){2,})")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def relative(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


@cache
def words(path: Path) -> str:
    """The text of a page, without its diffs, or of a file of settings; of code its docstrings and comments."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return re.sub(r"^```diff\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    strings = [
        node.value.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    with path.open("rb") as file:
        comments = [token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT]
    return "\n".join([*strings, *comments])


def named_files(text: str) -> Iterator[tuple[Path, str]]:
    """Folder and path (maybe a pattern) of every file of the project that a text names."""
    for found in _FROM_TOP.findall(_LINK.sub("", text)):  # a link starts at its page
        yield PROJECT, found
    for found in _IN_BACKTICKS.findall(text):
        first, slash, rest = found.partition("/")
        room = (PACKAGE / first).is_dir()
        if slash and (room and (not rest or rest.endswith(".py"))):
            yield PACKAGE, found
        elif not slash and found.endswith(".py") and found not in TORCHREID:
            yield PROJECT, f"**/{found}"


def missing_files(text: str) -> list[str]:
    patterns = {(top, re.sub(r"<\w+>|NAME", "*", found)) for top, found in named_files(text)}
    return sorted(found for top, found in patterns if not any(_visible(path) for path in top.glob(found)))


def _visible(path: Path) -> bool:
    return not any(part.startswith(".") for part in path.relative_to(PROJECT).parts)


def resolves(dotted: str) -> bool:
    """Whether `bruna.<room>.<file>.<name>` is there, down to the name of a class, function or constant."""
    place, parts = PACKAGE, dotted.split(".")[1:]
    for i, part in enumerate(parts):
        if (file := place / f"{part}.py").exists():
            rest = parts[i + 1 :]
            return not rest or bool(re.search(rf"\b{rest[0]}\b", file.read_text(encoding="utf-8")))
        place /= part
    return place.is_dir()


@cache
def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_checks_find_what_is_wrong() -> None:
    wrong = "`training/gone.py`, tests/unit/test_gone.py, `gone.py`, `training/`, `files.py`, docs/*.md, src/<x>/*.py"
    assert missing_files(wrong) == ["**/gone.py", "tests/unit/test_gone.py", "training/gone.py"]
    names = ("bruna.retrieval.protocols.FIGURES", "bruna.retrieval.protocols.GONE", "bruna.gone.FIGURES")
    assert [resolves(name) for name in names] == [True, False, False]
    assert {"words", "who-may-import-whom"} <= anchors(DOCS / "explanation" / "design.md")


@pytest.mark.parametrize("path", [*PAGES, *SETTINGS, *(p for p in CODE if p != Path(__file__))], ids=relative)
def test_files_and_modules_that_are_named_exist(path: Path) -> None:
    assert missing_files(words(path)) == []
    assert [name for name in _MODULE.findall(words(path)) if not resolves(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        other = (page.parent / file).resolve() if file else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "benchmarks"], ids=relative)
def test_lines_of_text_are_not_too_long(page: Path) -> None:
    """Tables and commands cannot be wrapped, and the pages of the benchmarks are written by them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert [line for line in text.splitlines() if len(line) > WIDTH and not line.startswith(("|", "    "))] == []


def test_the_hooks_before_a_commit_run_what_make_lint_runs() -> None:
    recipe = (PROJECT / "Makefile").read_text(encoding="utf-8").partition("\nlint:")[2].partition("\n\n")[0]
    tools = re.findall(r"\(BIN\)/(ruff \w+|[\w-]+)", recipe)
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]  # nothing is downloaded
    entries = [hook["entry"].removeprefix(".venv/bin/") for hook in hooks[0]["hooks"]]
    assert len(tools) == 4 and [re.match(r"ruff \w+|[\w-]+", entry)[0] for entry in entries] == tools  # type: ignore[index]
