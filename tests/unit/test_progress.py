import re

import pytest

from bruna import progress
from bruna.errors import counted
from bruna.progress import table, track


def test_track_counts_what_items_stand_for_and_passes_errors_on(capsys):
    bar = track([[1, 2], [3, 4], [5]], "epoch 1/1", total=5, count=len)
    seen = []
    for item in bar:
        bar.status = f"loss {sum(item)}"
        seen += item
    assert seen == [1, 2, 3, 4, 5]
    assert re.fullmatch(r"epoch 1/1: 5 images in \d+\.\d s, loss 5\n", capsys.readouterr().err)
    with pytest.raises(ZeroDivisionError):
        for item in track([0], "division", unit="sums"):
            _ = 1 / item
    assert capsys.readouterr().err == ""


def test_what_takes_long_has_a_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    for _ in track(range(2), "slow", unit="steps"):
        pass
    first, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"slow: 1 of 2 steps, [\d,]+ steps/s, 0 s left", first)
    assert track(range(3), "slow", unit="steps")._line(2, 9.0) == "slow: 2 of 3 steps, 4 s each, 4 s left"
    assert last.startswith("slow: 2 steps in ")


def test_one_is_singular(capsys):
    for _ in track([0], "draw", unit="pictures"):
        pass
    assert capsys.readouterr().err.startswith("draw: 1 picture in ")
    shown = [counted(1, "queries"), counted(1, "training identities"), counted(0, "images"), counted(1234, "queries")]
    assert shown == ["1 query", "1 training identity", "0 images", "1,234 queries"]


def test_table_prints_brackets_literally_and_formats_by_type(capsys):
    table("Losses [mean]", ("name", "value"), [("[red]a[/red]", 12345), ("b", 0.25), ("c", None), ("d", True)])
    out = capsys.readouterr().out
    assert "Losses [mean]" in out
    assert re.search(r"\[red\]a\[/red\] +12,345", out)
    assert re.search(r"b +0\.250", out)
    assert re.search(r"c +–", out)
    assert re.search(r"d +yes", out)


def test_a_table_in_a_file_folds_nothing(capsys):
    key = "folder/" * 60 + "1.jpg"
    table("In people.index", ("rank", "key"), [(1, key)])
    lines = capsys.readouterr().out.splitlines()
    assert sum(key in line for line in lines) == 1 and max(map(len, lines)) < len(key) + 20
