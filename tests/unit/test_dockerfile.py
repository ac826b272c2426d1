"""The Dockerfile: its Python is one that the project takes, its packages are the lock's, and no address is in it."""

import re
import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
TEXT = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")


def _lines(instruction: str) -> list[str]:
    return re.findall(rf"^{instruction} +(.*)$", TEXT, re.MULTILINE)


def test_its_python_is_one_that_the_project_takes() -> None:
    (base,) = _lines("FROM")
    found = re.fullmatch(r"python:(\d+\.\d+)-slim-[a-z]+", base)
    assert found, f"{base}: one of Docker Hub's short official names is expected"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"{found[1]}.0" in SpecifierSet(project["requires-python"])


def test_packages_are_those_of_the_lock_and_no_address_is_named() -> None:
    assert any("-r /tmp/lock" in line and "cp requirements.lock /tmp/lock" in line for line in _lines("RUN"))
    for path in (DOCKERFILE, ROOT / ".dockerignore"):
        assert not re.search(r"https?://|index-url|find-links|@sha256", path.read_text(encoding="utf-8"))


def test_of_the_cpu_s_image_torch_has_the_lock_s_version_and_cuda_is_left_out() -> None:
    (chosen,) = re.findall(r"grep -oE '([^']+)' requirements\.lock", TEXT)
    (kept,) = re.findall(r"awk '([^']+)' requirements\.lock", TEXT)
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    torch = {Requirement(match.group()).name for match in re.finditer(chosen, lock, re.MULTILINE)}
    assert torch == {"torch", "torchvision"}
    done = subprocess.run(["awk", kept], input=lock, capture_output=True, text=True, check=True).stdout
    names, all_names = (set(re.findall(r"^([\w.-]+)==", text, re.MULTILINE)) for text in (done, lock))
    left_out = all_names - names
    assert torch | {"triton", "nvidia-cublas", "cuda-toolkit"} <= left_out
    assert all(re.match("torch|triton|nvidia-|cuda-", name) for name in left_out)
    assert done.count("--hash=") and not re.search(r"^(nvidia|cuda|torch)", done, re.MULTILINE)


def test_what_is_secret_or_large_stays_out_and_git_comes_along() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".dvc/config.local", ".venv", ".dvc/cache", "data", "artifacts", "mlflow.*"} <= set(ignored)
    assert ".git" not in ignored
