"""Small mistakes put into the code one at a time: does a unit test notice?

    python tests/soak/mutants.py [--count 200] [--seed 0] [--only N ...] [--project FOLDER]

In a temporary copy of the project a mutant differs from losses.py or a file of retrieval/, training/ or batches/ in
one place: another operator or number, a condition turned round, a statement or an argument left out, two arguments
changed over. Which mutants are tried depends on the seed and the code alone. Every mutant is met by the tests that
run its statement, file by file in turn and first by those that run little else, until one fails or `BUDGET` is spent;
hypothesis draws the same examples each time. A mutant that hangs counts as noticed.

Most mutants are met in a copy of one process that has collected all tests: the code of the function is exchanged.
What is run on import is met in processes that import everything anew.

Printed are a table and the mutants that nobody noticed: each is either no mistake (the result is the same) or a test
that is missing. `--only` tries some again by their numbers. Takes one core. Exit status: 0, whatever survives.
"""

import argparse
import ast
import builtins
import copy
import gc
import importlib
import itertools
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "Agg"}

# What takes long to import is imported here, once; nothing of bruna, which each child takes from the copy.
import hypothesis
import pandas as pd
import pydantic
import pytest
import scipy.stats
import sklearn.metrics
import torch
import torchvision.transforms.v2.functional

PRELOADED = (hypothesis, pd, pydantic, scipy.stats, sklearn.metrics, torchvision.transforms.v2.functional)
SOURCE = Path(__file__).resolve().parents[2]
COPIED = ("src", "tests", "stages", "presets", "params.yaml", "pyproject.toml", "dvc.yaml")
AREAS = ("losses.py", "retrieval/*.py", "training/*.py", "batches/*.py")
USES = tuple(f"bruna.{area.partition('/')[0].removesuffix('.py')}" for area in AREAS)
BUDGET = 60.0
"""Processor time that the tests of one mutant may take, seconds; a test that takes more is never run."""

UNSEEN = {"device", "memory_format", "force", "map_location", "strict"}
"""Arguments that change nothing on a CPU, or nothing unless there is another mistake."""
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


@dataclass(frozen=True)
class Mutant:
    """Bytes `start` to `stop` of a file become `after`; `statement` is the line where the statement around them starts.

    `function`: whether a function runs them; otherwise they are run on import.
    """

    file: str
    line: int
    statement: int
    function: bool
    start: int
    stop: int
    before: str
    after: str

    def __str__(self) -> str:
        before, after = (ast.unparse(ast.parse(text)) for text in (self.before, self.after))
        if len(before) > 60 and after != "pass":  # what is the same at both ends is left out, but for some words
            start = max(_equal_characters(before, after) - 20, 0)
            end = max(_equal_characters(before[:start:-1], after[:start:-1]) - 20, 0)
            before, after = (f"..{text[start : len(text) - end]}.." for text in (before, after))
        return f"{self.file}:{self.line}: {' '.join(before.split())}  ->  {' '.join(after.split())}"

    def applied(self, text: bytes) -> bytes:
        return text[: self.start] + self.after.encode() + text[self.stop :]


def _equal_characters(first: str, second: str) -> int:
    """At the beginning of both."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def mutants_of(file: str, text: str) -> list[Mutant]:
    """Every mutant of a file, in the order of the text."""
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found, tree = set(), ast.parse(text)
    tests = {id(node.test) for node in ast.walk(tree) if isinstance(node, ast.If | ast.While | ast.IfExp)}
    for node, statement, function in _mutable(tree, 0, False):
        start = starts[node.lineno - 1] + node.col_offset
        stop = starts[node.end_lineno - 1] + node.end_col_offset
        before = text.encode()[start:stop].decode()
        for change in {*_changes(node, id(node) in tests)} - {before, f"({before})"}:
            lines = "\n" * (before.count("\n") - change.count("\n"))  # all other code stays on its lines
            after = f"({change}{lines})" if lines and isinstance(node, ast.expr) else change + lines
            found.add(Mutant(file, node.lineno, statement, function, start, stop, before, after))
    return sorted(found, key=lambda mutant: (mutant.start, mutant.stop, mutant.after))


def _mutable(node: ast.AST, statement: int, function: bool) -> Iterator[tuple[Any, int, bool]]:
    """All nodes but types, decorators, texts and what is raised, whose change is none of the behaviour.

    With each the line of the statement that it is in, and whether that is in a function.
    """
    inside = function or isinstance(node, ast.FunctionDef)
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.JoinedStr | ast.Raise | ast.Import | ast.ImportFrom):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.AST):
                line = child.lineno if isinstance(child, ast.stmt) else statement
                runs = inside and not (
                    name == "args" and isinstance(node, ast.FunctionDef)
                )  # defaults are run on import
                if hasattr(child, "lineno"):
                    yield child, line, runs
                yield from _mutable(child, line, runs)


def _changes(node: Any, tested: bool) -> Iterator[str]:
    """What a node may become; `tested`: it is a condition."""

    def changed(change: Callable[[Any], None]) -> str:
        other = copy.deepcopy(node)
        change(other)
        return (
            f"({ast.unparse(other)})" if isinstance(node, ast.BinOp | ast.BoolOp | ast.Compare) else ast.unparse(other)
        )

    match node:
        case ast.BinOp() | ast.AugAssign() | ast.BoolOp() if type(node.op) in SWAPS:
            yield changed(lambda other: setattr(other, "op", SWAPS[type(node.op)]()))
        case ast.Compare():
            for i, operator in enumerate(node.ops):
                yield changed(lambda other, i=i, operator=operator: other.ops.__setitem__(i, SWAPS[type(operator)]()))
        case ast.UnaryOp():
            yield f"({ast.unparse(node.operand)})"
        case ast.Constant(value=bool() | int() | float()):
            yield str(_another(node.value))
        case ast.Call():
            if len(node.args) > 1 and not any(isinstance(each, ast.Starred) for each in node.args[:2]):
                yield changed(lambda other: other.args.__setitem__(slice(2), other.args[1::-1]))
            for i, keyword in enumerate(node.keywords):
                if keyword.arg not in UNSEEN:
                    yield changed(lambda other, i=i: other.keywords.pop(i))
        case ast.Return(value=ast.Tuple()):
            yield changed(lambda other: other.value.elts.reverse())
    if _can_be_left_out(node):
        yield "pass"
    if tested:
        yield f"(not {ast.unparse(node)})"


def _another(value: float) -> float:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value * 2 or 1.0


def _can_be_left_out(node: ast.AST) -> bool:
    """Whether a statement is a call, a sum or a store in an object, without which the next ones still run."""
    calls = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    stores = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    return calls or stores or isinstance(node, ast.AugAssign)


def in_a_child(work: Callable[[], Any], answer: Path, limit: float) -> Any:
    """What `work` gives in a process of its own; None where it took longer than `limit` seconds or died."""
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        try:
            answer.write_bytes(pickle.dumps(work()))
        finally:
            os._exit(0)
    end = time.monotonic() + limit
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.01)
    return pickle.loads(answer.read_bytes()) if answer.exists() else None


class _Noting(ast.NodeTransformer):
    """Puts before every statement of a function a call of `_noted` with its place."""

    def __init__(self, file: str) -> None:
        self._file, self._functions = file, 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self._functions += 1
        self.generic_visit(node)
        self._functions -= 1
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if self._functions and isinstance(block, list):
                noted = [[ast.parse(f"_noted(({self._file!r}, {each.lineno}))").body[0], each] for each in block]
                setattr(node, name, [statement for pair in noted for statement in pair])
        return node


def codes_of(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_of(constant)


class Server:
    """A pytest plugin: in place of running the tests it has them run in children, mutant by mutant."""

    def __init__(self, folder: Path, paths: list[Path], mutants: list[tuple[int, Mutant]]) -> None:
        self.folder, self.paths, self.mutants = folder, paths, mutants
        self.touched: dict[str, set[tuple[str, int]]] = {}
        self.seconds: Counter[str] = Counter()
        self.noticed: dict[int, str] = {}
        self._items: list[pytest.Item] = []
        self._functions: dict[str, list[types.FunctionType]] = {}
        self._failed = ""

    def _exchange(self, path: Path, code: types.CodeType) -> bool:
        """Give every function that was made of a file its code of another version; whether all could take it."""
        codes = {(each.co_qualname, each.co_firstlineno): each for each in codes_of(code)}
        for function in self._functions[str(path)]:
            try:
                function.__code__ = codes[function.__code__.co_qualname, function.__code__.co_firstlineno]
            except (KeyError, ValueError):
                return False
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed = self._failed or report.nodeid

    def _run(self, item: pytest.Item) -> bool:
        """Run a test; whether it passed, or was skipped."""
        self._failed = ""
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return not self._failed

    def _trace(self) -> tuple[dict[str, set[tuple[str, int]]], Counter[str]]:
        """Of every test that passes: the statements that it runs, and its processor time."""
        for path in self.paths:
            tree = _Noting(str(path.relative_to(self.folder))).visit(ast.parse(path.read_text(encoding="utf-8")))
            assert self._exchange(path, compile(ast.fix_missing_locations(tree), str(path), "exec"))
        touched, seconds = {}, Counter()
        for item in self._items:
            noted: set[tuple[str, int]] = set()
            builtins._noted = noted.add  # type: ignore[attr-defined]
            began = time.process_time()
            if self._run(item):
                touched[item.nodeid] = noted
                seconds[item.nodeid] = time.process_time() - began
        return touched, seconds

    def tests_of(self, mutant: Mutant) -> list[str]:
        """The tests that run its statement; first those that run little else, the files in turn.

        Of what is run on import: the tests that run anything of its file, and those of test files that name it.
        """
        statement = (mutant.file, mutant.statement)
        if mutant.function:
            found = [test for test, touched in self.touched.items() if statement in touched]
        else:
            name = Path(mutant.file).stem
            files = {test.partition("::")[0] for test in self.touched}
            naming = {file for file in files if name in (self.folder / file).read_text(encoding="utf-8")}
            found = [
                test
                for test, touched in self.touched.items()
                if test.partition("::")[0] in naming or any(file == mutant.file for file, _ in touched)
            ]
        found.sort(key=lambda test: len(self.touched[test]))
        of_file: Counter[str] = Counter()
        turns = {}
        for test in found:  # a file's first tests before any file's second ones
            turns[test] = of_file[test.partition("::")[0]]
            of_file[test.partition("::")[0]] += 1
        found.sort(key=turns.__getitem__)
        ends = itertools.accumulate(self.seconds[test] for test in found)
        return [test for test, end in zip(found, ends, strict=True) if end < BUDGET]

    def _met(self, mutant: Mutant) -> str:
        """The first test that fails with a mutant's code in place; empty if none does."""
        path = self.folder / mutant.file
        try:
            code = compile(mutant.applied(path.read_bytes()), str(path), "exec")
        except SyntaxError:
            return "not Python"
        if not self._exchange(path, code):
            return "anew"
        items = {item.nodeid: item for item in self._items}
        return next((test for test in self.tests_of(mutant) if not self._run(items[test])), "")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = session.items
        for path in self.paths:
            importlib.import_module(".".join(path.relative_to(self.folder / "src").with_suffix("").parts))
        self._functions = {str(path): [] for path in self.paths}
        for each in gc.get_objects():
            if type(each) is types.FunctionType and each.__code__.co_filename in self._functions:
                self._functions[each.__code__.co_filename].append(each)
        gc.freeze()
        answer = self.folder / "answer"
        found = in_a_child(self._trace, answer, 7200)
        assert found is not None, "the tests died before anything was changed"
        self.touched, self.seconds = found
        lost = sorted({item.nodeid for item in self._items} - set(self.touched))
        print(f"{len(self.touched)} tests, {self.seconds.total():.0f} s; without those that fail: {lost}", flush=True)
        for number, mutant in self.mutants:
            if mutant.function:
                began = time.monotonic()
                limit = 120 + 10 * sum(self.seconds[test] for test in self.tests_of(mutant))
                met = in_a_child(lambda mutant=mutant: self._met(mutant), answer, limit)
                self.noticed[number] = "it hung or died" if met is None else met
                tell(number, mutant, self.noticed[number], began)
        return True


def tell(number: int, mutant: Mutant, noticed: str, began: float) -> None:
    print(f"{number:4} {time.monotonic() - began:5.1f} s  {mutant}  |  {noticed or 'SURVIVES'}", flush=True)


class Chosen:
    """A pytest plugin that keeps some tests, in their order here, and notes the first that fails."""

    def __init__(self, tests: list[str]) -> None:
        self._place = {name: i for i, name in enumerate(tests)}
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self._place), key=lambda item: self._place[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed = self.failed or f"{report.nodeid} (import)"


def run_pytest(folder: Path, files: list[str], plugin: Any, *options: str) -> Any:
    """In a child: run test files of the copy with a plugin."""
    os.chdir(folder)
    sys.path.insert(0, str(folder / "src"))
    sys.dont_write_bytecode = True
    torch.set_num_threads(1)
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", derandomize=True, database=None, phases=phases, deadline=None)
    hypothesis.settings.load_profile("mutants")
    pytest.main(
        ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--disable-warnings", *options, *files], plugins=[plugin]
    )
    return plugin


def met_anew(server: Server, mutant: Mutant) -> str:
    """The same in a process that imports everything anew."""
    path, tests = server.folder / mutant.file, server.tests_of(mutant)
    if not tests:
        return ""
    text, chosen = path.read_bytes(), Chosen(tests)
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    try:
        path.write_bytes(mutant.applied(text))
        limit = 240 + 10 * sum(server.seconds[test] for test in tests)
        found = in_a_child(
            lambda: run_pytest(server.folder, files, chosen, "-x").failed, server.folder / "answer", limit
        )
    finally:
        path.write_bytes(text)
    return "it hung or died" if found is None else str(found)


def unit_test_files(folder: Path) -> list[str]:
    """The unit tests that name one of the areas."""
    found = []
    for path in sorted((folder / "tests/unit").glob("test_*.py")):
        text = path.read_text(encoding="utf-8").replace("from bruna import ", "from bruna.")
        if any(name in text for name in USES):
            found.append(str(path.relative_to(folder)))
    return found


def copied(source: Path, folder: Path) -> list[Path]:
    """Copy what the tests need; the files of the areas in the copy."""
    for name in COPIED:
        if (source / name).is_dir():
            shutil.copytree(source / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source / name, folder / name)
    return [path for area in AREAS for path in sorted((folder / "src/bruna").glob(area))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="*", default=[], metavar="N")
    parser.add_argument("--project", type=Path, default=SOURCE)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bruna-mutants-") as temporary:
        folder = Path(temporary).resolve()
        (folder / "tmp").mkdir()
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder / "tmp")
        paths = copied(options.project.resolve(), folder)
        every = [
            mutant
            for path in paths
            for mutant in mutants_of(str(path.relative_to(folder)), path.read_text(encoding="utf-8"))
        ]
        drawn = list(enumerate(random.Random(options.seed).sample(every, min(options.count, len(every)))))
        chosen = [(number, mutant) for number, mutant in drawn if not options.only or number in options.only]
        print(f"{len(chosen)} of {len(every)} mutants", flush=True)
        server = Server(folder, paths, chosen)
        noticed = serve(server, unit_test_files(folder))
    survivors = [(number, mutant) for number, mutant in chosen if not noticed[number]]
    tried, lost = (Counter(mutant.file for _, mutant in some) for some in (chosen, survivors))
    print(f"\n{'file':45} mutants survivors")
    for file, count in sorted(tried.items()):
        print(f"{file:45} {count:7} {lost[file]:9}")
    print(f"{'together':45} {len(chosen):7} {len(survivors):9}\n")
    for number, mutant in survivors:
        print(f"{number:4} {mutant}")


def serve(server: Server, files: list[str]) -> dict[int, str]:
    """Meet every mutant: those in functions from a process that has collected all tests, the others anew."""
    kept = server.folder / "kept"
    child = os.fork()
    if child == 0:
        try:
            run_pytest(server.folder, files, server, "-s")
            kept.write_bytes(pickle.dumps((server.touched, server.seconds, server.noticed)))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    server.touched, server.seconds, server.noticed = pickle.loads(kept.read_bytes())
    for number, mutant in server.mutants:
        if server.noticed.get(number, "anew") == "anew":
            began = time.monotonic()
            server.noticed[number] = met_anew(server, mutant)
            tell(number, mutant, server.noticed[number], began)
    return server.noticed


if __name__ == "__main__":
    main()
