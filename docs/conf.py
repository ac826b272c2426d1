"""How Sphinx builds these pages: `make docs`. It needs no network, and fails where a link or a reference is broken."""

import sys
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from generated_pages import write_pages

project = "Bruna"
author = "the Bruna authors"
release = metadata.version("bruna")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
pygments_style = "friendly"
html_title = f"Bruna {release}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_theme_options = {"source_edit_link": "", "source_view_link": ""}

myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # blocks of what a terminal printed

default_role = "code"  # docstrings mark code as Markdown does
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_use_ivar = True

write_pages(Path(__file__).parent / "_build" / "generated")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _keep_bars)


def _keep_bars(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """|a - b| is a length here; to reStructuredText it would be a substitution."""
    lines[:] = [line.replace("|", "\\|") for line in lines]
