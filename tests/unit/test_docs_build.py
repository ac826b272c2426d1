"""`make docs` builds the site without a warning, without network, and with what the code says."""

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bruna.cli.main import app
from bruna.headlines import HEADLINES
from bruna.nested import flatten
from damage import topics

PROJECT = Path(__file__).resolve().parents[2]

pytest.importorskip("sphinx", reason="sphinx is absent: `make env` installs it")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages. A link or a reference that leads nowhere is a warning, and so an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--doctree-dir", str(folder / "trees")]
    done = subprocess.run([*command, str(PROJECT / "docs"), str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def text(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_no_page_loads_anything_from_the_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"(https?:)?//", page.read_text())
        assert not loaded, page.name


def test_the_reference_has_every_setting_metric_and_command(site: Path) -> None:
    settings, metrics, commands = (
        text(site / "reference" / f"{n}.html") for n in ("settings", "metrics", "command-line")
    )
    names = flatten(yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8")), separator=".")
    assert [name for name in names if name.partition(".")[2] not in settings] == []
    assert [name for name, headline in HEADLINES.items() if name not in metrics or headline.title not in metrics] == []
    callbacks = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    assert len(callbacks) > 5
    assert [name for name in callbacks if f"bruna {name} " not in commands] == []


def test_the_page_about_damage_has_every_row(site: Path) -> None:
    page = " ".join(text(site / "reference" / "damage.html").split())
    assert [row.kind for rows in topics().values() for row in rows if " ".join(row.says.split()) not in page] == []


def test_the_python_page_has_the_public_names(site: Path) -> None:
    page = text(site / "reference" / "python-api.html")
    for name in ("bruna.load", "bruna.Describer", "describe", "rank", "to_pandas", "batch_hard_loss"):
        assert name in page
