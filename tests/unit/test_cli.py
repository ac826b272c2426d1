"""The command line as a whole: help, mistakes, interruption, what it imports."""

import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bruna.cli.main import PIPELINE_MODULES

ROOT = Path(__file__).parents[2]


COMMANDS = ["sample", "import", "preset", "check", "summary", "ui", "evaluate", "compare", "attributes", "index"]
COMMANDS += ["search", "serve", "export"]


def test_help_names_every_command_in_the_order_of_use(bruna):
    status, out, _ = bruna("--help")
    assert status == 0
    listed = re.findall(rf"^\W*({'|'.join(COMMANDS)}) +[A-Z]", out, re.MULTILINE)
    assert listed == COMMANDS
    assert "--install-completion" in out
    for command in listed:
        status, out, _ = bruna(command, "--help")
        assert status == 0
        assert "bruna " + command in out
        assert "(bruna)" not in out  # what is left of `bruna[large]`, in which Rich sees a style


def test_version_is_that_of_the_package(bruna):
    assert bruna("--version") == (0, f"bruna {version('bruna')}\n", "")


def test_mistakes_end_with_one_message_and_status_1(top_folder, bruna):
    for arguments, message in [
        (("import", "missing.zip"), "missing.zip does not exist"),
        (("import", "params.yaml", "--merge", "--replace"), "params.yaml is no data set"),
        (("preset", "papre"), "found: market1501, paper, sample"),
        (("summary",), "not the top folder of the project"),
        (("evaluate", "nowhere"), "nowhere is not a folder"),
        (("evaluate", "presets", "--models", "nowhere"), "nowhere is no folder"),
        (("evaluate", "presets", "--device", "gpu"), "--device: found 'gpu'"),
        (("attributes", "params.yaml", "--models", "nowhere"), "nowhere is no folder"),
        (("attributes", "params.yaml", "--device", "cuda:99"), "--device: found 'cuda:99'"),
        (("index", "nowhere"), "nowhere does not exist"),
        (("search", "params.yaml"), "people.index does not exist"),
    ]:
        status, out, err = bruna(*arguments)
        assert (status, out) == (1, "")
        assert err.startswith("error: ")
        assert message in err
        assert "Traceback" not in err
    assert bruna("imprt")[0] == 2
    status, _, err = bruna("sample", "--seed", "-3")
    assert status == 2 and "--seed" in err and "Traceback" not in err
    assert sorted(path.name for path in top_folder.iterdir()) == ["params.yaml", "presets"]


def test_interrupt_ends_with_130(top_folder):
    # The command waits on a pipe for its source, so that the signal surely meets it at work.
    os.mkfifo(top_folder / "slow")
    code = (
        "import sys, pathlib, bruna.dataset.importers as importers\n"
        "from bruna.cli.main import main\n"
        "importers.import_dataset = lambda *a, **k: (print('ready', flush=True), pathlib.Path('slow').read_bytes())\n"
        "sys.argv = ['bruna', 'import', 'huge.zip']\n"
        "main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_start_up_imports_nothing_heavy():
    heavy = ("torch", "pandas", "mlflow", "scipy", "sklearn", "numpy", "matplotlib")
    code = f"import sys, bruna.cli.main; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize(("missing", "told"), [("scipy", True), ("numpy", False)])
def test_what_the_pipeline_extra_would_bring_is_told_in_one_sentence(tmp_path, missing, told):
    code = (
        f"import sys; sys.modules['{missing}'] = None; sys.argv = ['bruna', 'import', '{tmp_path}']\n"
        "from bruna.cli.main import main\n"
        "main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 1
    sentence = "error: this command needs scipy, which is not installed: `pip install 'bruna[pipeline]'` brings it.\n"
    assert (ended.stderr == sentence) == told
    assert ("Traceback" in ended.stderr) != told


def test_the_modules_of_the_pipeline_extra_are_those_that_pyproject_lists():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    listed = {canonicalize_name(Requirement(each).name) for each in extras["pipeline"]}
    # mlflow's module comes in several distributions, of which one is listed.
    found = {module: listed & set(map(canonicalize_name, names)) for module, names in packages_distributions().items()}
    assert all(found[module] for module in PIPELINE_MODULES)
    assert set.union(*(found[module] for module in PIPELINE_MODULES)) == listed
