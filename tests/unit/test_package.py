import json
import subprocess
import sys

import pytest

import bruna

CLASSES = ["BrunaError", "Described", "Describer", "Index", "Settings"]


def test_importing_the_package_loads_no_library_that_takes_time():
    code = "import sys, json; before = set(sys.modules); import bruna; print(json.dumps([*set(sys.modules) - before]))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code], text=True))
    assert "bruna" in loaded
    assert {name.partition(".")[0] for name in loaded} <= {"bruna", *sys.stdlib_module_names}
    assert [name for name in loaded if name.startswith("bruna.")] == []


def test_every_public_name_is_there_and_listed():
    assert set(bruna.__all__) == set(dir(bruna)) == {"load", "open_index", *CLASSES, "__version__"}
    classes = [name for name in bruna.__all__ if isinstance(getattr(bruna, name), type)]
    assert classes == CLASSES
    assert callable(bruna.load) and callable(bruna.open_index)
    with pytest.raises(AttributeError, match="'bruna' has no attribute 'laod'"):
        _ = bruna.laod
