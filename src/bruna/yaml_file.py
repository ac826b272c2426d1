"""Settings in YAML files: read strictly, and whatever is wrong with a file is said in words.

YAML 1.2, by ruamel.yaml: PyYAML takes 1e-05, which is what DVC writes for `-S train_bruna.lr=1e-5`, for text.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import Node
from ruamel.yaml.scanner import Scanner

from bruna.errors import BrunaError
from bruna.files import read_regular

_LARGEST = 1 << 17
"""Bytes; settings take a tenth of it."""
_DEEPEST = 100
"""Brackets inside each other; the time that the library takes for them grows with their square."""


def read_text(path: Path) -> str:
    """The text of a file of settings, its line ends as they are.

    Raises:
        BrunaError: the file is missing, is no file, or holds no UTF-8 text.
    """
    try:
        return read_regular(path, _LARGEST).decode("utf-8")
    except FileNotFoundError:
        raise BrunaError(f"{path} is missing. Run this from the top folder of the project.") from None
    except OSError as error:
        raise BrunaError(f"{path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise BrunaError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from None


def parse(text: str, source: Path, advice: str = "") -> Any:
    """What a text of YAML says, as plain values.

    Args:
        text: as `read_text` returns it.
        source: where it stands, for the message.
        advice: a sentence that ends the message; by default how Git shows what was changed.

    Raises:
        BrunaError: it is not YAML, repeats a key, or has an alias.
    """

    def load(text: str) -> Any:
        value = _yaml().load(text)
        repr(value)  # of a hexadecimal number of thousands of digits there is none, and no message could show it
        return value

    return _read(load, text, source, advice)


def parse_nodes(text: str, source: Path) -> Node | None:
    """The same as nodes that know their place in the text; None for a text without any."""
    found: Node | None = _read(_yaml().compose, text, source)
    return found


class _Scanner(Scanner):
    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:  # noqa: N803 - the library's name
        if self.flow_level > _DEEPEST:
            raise RecursionError
        super().fetch_flow_collection_start(TokenClass, to_push)


class _Composer(Composer):
    """Takes no aliases: ten lines of them are a billion values, and a preset would change every place of one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.parser.check_event(AliasEvent):
            event = self.parser.peek_event()
            problem = f"found the alias *{event.anchor}, which is not read here: write the values out"
            raise MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _Scanner
    yaml.Composer = _Composer
    return yaml


def _read(read: Callable[[str], Any], text: str, source: Path, advice: str = "") -> Any:
    try:
        return read(text)
    except RecursionError:
        reason = "it is nested too deeply"
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        reason = f"{where}{error.problem or error.context}"
    except YAMLError as error:  # of single characters
        reason = " ".join(str(error).split())
    except Exception as error:  # what the library's readers of numbers, dates and texts stumble over
        reason = f"a value cannot be read ({error})"
    raise BrunaError(
        f"{source} is not valid YAML: {reason}. {advice or f'`git diff {source}` shows what was changed.'}"
    )
