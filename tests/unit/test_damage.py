"""What each command says about each kind of damage: the rows of tests/damage."""

from pathlib import Path

import pytest

from damage import Damage, topics


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=f"{topic}: {row.kind}") for topic, rows in topics().items() for row in rows]
)
def test_what_is_said(row: Damage, tmp_path: Path) -> None:
    said = " ".join(row.run(tmp_path).split())
    assert " ".join(row.says.split()) in said
    assert "Traceback" not in said
