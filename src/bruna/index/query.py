"""The language of `--where`: `upcolor = red and not hat = yes and camera != 3`, read and checked.

    attribute = value     != value     in (value, value)       a predicted attribute has one of these values
    column = value        != < <= > >= in (...)  like 'a%'     what is known of the image: key, camera, time, ...
    not ...    ... and ...    ... or ...    (...)              as in SQL; `and` binds more tightly than `or`

Names and values may stand in quotes, and have to where they hold spaces. A number is compared as a number: in quotes
only where all cells of the column are numbers. Everything else is compared as text. A cell that is empty is unlike
every value: `camera != 3` holds where the camera is unknown.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple, NoReturn

from bruna.dataset.filenames import printable
from bruna.dataset.schema import Tasks
from bruna.errors import BrunaError
from bruna.index.conditions import Both, Condition, Known, Predicted, both, either, number_in, opposite

_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*")|(?P<sign><>|[!<>=]=|[=<>(),])|(?P<word>[^\s'"()=<>!,]+))"""
)
_SIGNS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_KEYWORDS = ("and", "or", "not", "in", "like")
_DEEPEST = 100
"""Brackets and negations in each other."""
_LONGEST = 10_000
"""Characters: every comparison looks at every image."""
_NEAR = 0.7
"""Likeness, from 0 to 1, from which on a name may be what was meant."""
_AROUND = 60
"""Characters before and after a mistake that a message shows."""


class _Token(NamedTuple):
    kind: str
    text: str
    at: int

    def is_word(self, word: str) -> bool:
        return self.kind == "word" and self.text.lower() == word


def parse(text: str, schema: Tasks, columns: Sequence[str], option: str = "--where") -> Condition:
    """Read a condition.

    Args:
        text: what the user wrote.
        schema: the attributes that are predicted.
        columns: the other columns, in the order in which a message names them.
        option: where the text stood, for the message.

    Raises:
        BrunaError: it cannot be read, or names a column or a value that there is not; a caret shows where.
    """
    if len(text) > _LONGEST:
        raise BrunaError(
            f"{option} has {len(text):,} characters, and {_LONGEST:,} are read at most. Ask for less at once."
        )
    return _Parser(text, schema, columns, option).all()


class _Parser:
    def __init__(self, text: str, schema: Tasks, columns: Sequence[str], option: str) -> None:
        self._text, self._option, self._columns = re.sub(r"\s", " ", text), option, columns
        self._attributes = {task.name: task.values for task in schema}
        self._tokens = self._split()
        self._next = self._depth = 0

    def all(self) -> Condition:
        found = self._either()
        if self._token.kind != "end":
            self._wrong("`and`, `or` or the end is expected here")
        return found

    def _split(self) -> list[_Token]:
        tokens: list[_Token] = []
        at, end = 0, len(self._text.rstrip())
        while at < end:
            match = _TOKEN.match(self._text, at)
            if match is None:
                start = at + len(self._text[at:]) - len(self._text[at:].lstrip())
                self._wrong("a quote opens here that nothing closes" if self._text[start] in "'\"" else "", start)
            kind = str(match.lastgroup)
            tokens.append(_Token(kind, match[kind], match.start(kind)))
            at = match.end()
        return [*tokens, _Token("end", "", end)]

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def _either(self) -> Condition:
        parts = [self._both()]
        while self._token.is_word("or"):
            self._take()
            parts.append(self._both())
        return either(parts)

    def _both(self) -> Condition:
        parts = [self._one()]
        left: dict[str, frozenset[int]] = {}
        impossible = _narrowed(left, parts[0])
        while self._token.is_word("and"):
            self._take()
            start = self._token.at
            parts.append(self._one())
            impossible = impossible or _narrowed(left, parts[-1])
            if impossible:
                self._wrong(f"{impossible} cannot have all these values at once; write `{impossible} in (a, b)`", start)
        return both(parts)

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._wrong(f"more than {_DEEPEST} brackets in each other")
        if self._token.is_word("not"):
            self._take()
            found = opposite(self._one())
        elif self._token.text == "(" and self._token.kind == "sign":
            self._take()
            found = self._either()
            self._expect(")")
        else:
            found = self._comparison()
        self._depth -= 1
        return found

    def _comparison(self) -> Condition:
        name = self._token
        if name.kind not in ("word", "quoted") or any(map(name.is_word, _KEYWORDS)):
            self._wrong("the name of an attribute or a column is expected here")
        column = self._column(self._take())
        sign = self._take()
        negated = sign.is_word("not") and any(map(self._token.is_word, ("in", "like")))
        sign = self._take() if negated else sign
        if sign.is_word("in"):
            found = either([self._compared(column, "=", value) for value in self._list()])
        elif sign.is_word("like") or (sign.kind == "sign" and sign.text in _SIGNS):
            found = self._compared(column, _SIGNS.get(sign.text, "like"), self._value(), sign)
        else:
            self._wrong(f"one of {', '.join(dict.fromkeys(_SIGNS.values()))}, in, like is expected here", sign.at)
        return opposite(found) if negated else found

    def _list(self) -> list[_Token]:
        self._expect("(")
        values = [self._value()]
        while self._token.kind == "sign" and self._token.text == ",":
            self._take()
            values.append(self._value())
        self._expect(")")
        return values

    def _value(self) -> _Token:
        token = self._token
        if token.kind not in ("word", "quoted") or any(map(token.is_word, _KEYWORDS)):
            self._wrong("a value is expected here, such as red, 'dark red' or 3")
        return self._take()

    def _compared(self, column: str, sign: str, value: _Token, at: _Token | None = None) -> Condition:
        if column in self._attributes:
            if sign not in ("=", "!="):
                self._wrong(f"the values of {column} have no order: =, != or in is expected", at.at if at else None)
            values = self._attributes[column]
            found = Predicted(column, frozenset({values.index(self._value_of(column, value))}), len(values))
            return found if sign == "=" else opposite(found)
        number = number_in(value.text) if value.kind == "word" and sign != "like" else None
        literal = _unquoted(value) if number is None else number
        return opposite(Known(column, "=", literal)) if sign == "!=" else Known(column, sign, literal)

    def _value_of(self, attribute: str, value: _Token) -> str:
        return self._one_of(value, self._attributes[attribute], f"{attribute} has no value", "It has")

    def _column(self, name: _Token) -> str:
        return self._one_of(name, [*self._attributes, *self._columns], "there is no attribute or column", "There are")

    def _one_of(self, token: _Token, known: Sequence[str], wrong: str, there: str) -> str:
        """The known name that a user means, in whatever case."""
        name = _unquoted(token)
        if name in known:
            return name
        by_folded = {each.casefold(): each for each in known}
        if name.casefold() in by_folded:
            return by_folded[name.casefold()]
        typed = name.casefold()
        near = get_close_matches(typed, by_folded, n=1, cutoff=_NEAR) or [
            x for x in by_folded if typed and x.startswith(typed)
        ]
        meant = f" Did you mean {by_folded[near[0]]}?" if near else ""
        shown = name if len(name) <= _AROUND else f"{name[:_AROUND]}…"
        return self._wrong(f"{wrong} {shown!r}.{meant} {there} {', '.join(known)}", token.at)

    def _expect(self, sign: str) -> None:
        if self._token.kind != "sign" or self._token.text != sign:
            self._wrong(f"{sign} is expected here")
        self._take()

    def _wrong(self, what: str, at: int | None = None) -> NoReturn:
        at = self._token.at if at is None else at
        what = what or "this sign has no meaning here"
        start, end = max(0, at - _AROUND), at + _AROUND
        before = "…" * (start > 0) + printable(self._text[start:at])
        after = printable(self._text[at:end]) + "…" * (end < len(self._text))
        raise BrunaError(f"{self._option} cannot be read:\n  {before}{after}\n  {' ' * len(before)}^\n{what}.")


def _narrowed(left: dict[str, frozenset[int]], part: Condition) -> str | None:
    """Keep of the values that each attribute may have those that a part of `and` allows.

    Returns:
        An attribute that has none left.
    """
    for each in part.parts if isinstance(part, Both) else (part,):
        if isinstance(each, Predicted):
            left[each.attribute] = left.get(each.attribute, each.codes) & each.codes
            if not left[each.attribute]:
                return each.attribute
    return None


def _unquoted(token: _Token) -> str:
    if token.kind != "quoted":
        return token.text
    quote = token.text[0]
    return token.text[1:-1].replace(quote * 2, quote)
