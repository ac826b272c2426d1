"""Files that no stage depends on change no result: with a stub in the place of each, the same weights come out."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import grimp

import stage_dependencies
import tiny_trainings
from stage_dependencies import EXEMPT, PROJECT


def weights(*stubbed: str) -> dict[str, str]:
    command = [sys.executable, "tests/tiny_trainings.py", *stubbed]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_stubs_in_their_places_give_the_same_weights() -> None:
    """All at once, since each training takes seconds; one after the other only to tell which it is."""
    real = weights()
    assert set(real) == {"unet", "attributes", "bruna", "adversary"}
    if weights(*EXEMPT) != real:
        assert [file for file in EXEMPT if weights(file) != real] == []
        raise AssertionError("together they change the weights, and none does alone")


def test_each_has_a_stub_and_a_reason() -> None:
    assert tiny_trainings.STUBS.keys() == EXEMPT.keys()
    assert all((PROJECT / file).exists() and len(reason) > 20 for file, reason in EXEMPT.items())


def test_packages_that_stages_use_only_say_what_they_are() -> None:
    inits = {file.relative_to(PROJECT).as_posix() for file in (PROJECT / "src").rglob("__init__.py")}
    with_code = {file for file in inits if not stage_dependencies.only_a_docstring(file)}
    assert with_code <= {"src/bruna/__init__.py", "src/bruna/sample/__init__.py"}  # no stage draws the sample
    assert "src/bruna/sample" not in (PROJECT / "dvc.yaml").read_text()


def test_of_params_only_groups_are_taken() -> None:
    """A constant there would be a value that no stage depends on."""
    for file in (PROJECT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "bruna.params":
                _check_names(file, {alias.name for alias in node.names})


def _check_names(file: Path, names: set[str]) -> None:
    from pydantic import BaseModel

    from bruna import params

    readers = {"read_params", "read_groups", "read_runtime", "parse_params"}
    assert all(issubclass(getattr(params, name), BaseModel) for name in names - readers), file


def test_a_rank_list_shows_no_more_than_evaluate_keeps() -> None:
    """The bound stands in params.py, which no stage depends on; the number that counts does not."""
    from bruna.evaluation.retrieval import RANKED
    from bruna.params import Report

    limits = [getattr(limit, "le", None) for limit in Report.model_fields["rank_list_length"].metadata]
    assert RANKED in limits


def test_what_they_import_is_exempt_too_or_of_every_stage() -> None:
    """Otherwise a file that matters could hide behind one that does not; the public names are behind nothing."""
    graph = grimp.build_graph("bruna", exclude_type_checking_imports=True, cache_dir=None)
    imported = stage_dependencies.imported_names(PROJECT / "stages" / "harness.py") & graph.modules
    for module in graph.modules - {"bruna"}:
        if stage_dependencies.exempt(stage_dependencies.file_of(module)):
            imported |= graph.find_modules_directly_imported_by(module)
    files = {stage_dependencies.file_of(module) for module in imported}
    behind = {file for file in files if not stage_dependencies.exempt(file)}
    of_every_stage = set.intersection(*map(set, stage_dependencies.code_of_stages().values()))
    assert behind - of_every_stage <= stage_dependencies.ONLY_LOGGING
