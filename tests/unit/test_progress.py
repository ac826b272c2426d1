import re

import pytest

from bruna.progress import table, track


def test_track_counts_what_items_stand_for_and_passes_errors_on(capsys):
    bar = track([[1, 2], [3, 4], [5]], "epoch 1/1", total=5, count=len)
    seen = []
    for item in bar:
        bar.status = f"loss {sum(item)}"
        seen += item
    err = capsys.readouterr().err
    assert seen == [1, 2, 3, 4, 5]
    assert err.startswith("epoch 1/1: 5 images\n")
    assert re.search(r"epoch 1/1: 5 images in .* images/s, loss 5\n$", err)
    with pytest.raises(ZeroDivisionError):
        for item in track([0], "division", unit="sums"):
            _ = 1 / item
    assert capsys.readouterr().err == "division: 1 sums\n"


def test_table_prints_brackets_literally_and_formats_by_type(capsys):
    table("Losses [mean]", ("name", "value"), [("[red]a[/red]", 12345), ("b", 0.25), ("c", None), ("d", True)])
    out = capsys.readouterr().out
    assert "Losses [mean]" in out
    assert re.search(r"\[red\]a\[/red\] +12,345", out)
    assert re.search(r"b +0\.250", out)
    assert re.search(r"c +–", out)
    assert re.search(r"d +yes", out)
