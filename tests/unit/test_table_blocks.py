"""Tables that are read and written a block of rows at a time, and `segment`, which does so."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from bruna.dataset import tables
from bruna.dataset.tables import count_rows, read_blocks, read_table, write_blocks, write_table
from bruna.errors import BrunaError
from bruna.inference import batching, unet
from bruna.inference.unet import UNetSegmenter, segment_images, segment_table
from tiny_models import save_tiny_models


def _jpeg(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def _images(count: int) -> pd.DataFrame:
    kinds = pd.Categorical.from_codes([i % 3 - 1 for i in range(count)], categories=pd.Index(["no", "yes"]))
    columns = {"path": [f"train/{i:04d}.jpg" for i in range(count)], "image": [_jpeg(i) for i in range(count)]}
    return pd.DataFrame({**columns, "camera": np.arange(count, dtype=np.int16), "hat": kinds})


def _cut(table: pd.DataFrame, rows: int) -> Iterator[pd.DataFrame]:
    return (table.iloc[start : start + rows] for start in range(0, len(table), rows))


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_a_table_of_one_row_group_has_the_bytes_of_one_written_whole(tmp_path: Path, rows: int) -> None:
    table = _images(40)
    write_table(table, tmp_path / "whole")
    write_blocks(_cut(table, rows), tmp_path / "blocks")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "blocks").read_bytes()


@pytest.mark.parametrize(("written", "read"), [(3, 4), (10, 3), (5, 5), (40, 7), (4, 100)])
def test_blocks_come_back_whatever_the_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int, read: int
) -> None:
    monkeypatch.setattr(tables, "ROW_GROUP", written)
    table, path = _images(40), tmp_path / "table"
    write_blocks(_cut(table, 2), path)
    groups = pq.ParquetFile(path)
    assert groups.num_row_groups == -(-40 // (written + written % 2)) and count_rows(path) == 40
    pd.testing.assert_frame_equal(read_table(path), table)
    blocks = list(read_blocks(path, read, ("path", "hat")))
    assert [len(block) for block in blocks] == [len(part) for part in _cut(table, read)]
    pd.testing.assert_frame_equal(pd.concat(blocks, ignore_index=True), table[["path", "hat"]])


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"t\xe9.parquet")
    with pytest.raises(BrunaError, match=r"is missing\. `dvc repro` makes it"):
        count_rows(path)
    write_table(_images(2), path)
    with pytest.raises(BrunaError, match=r"cannot be read as an image table \(it has no column mask\)"):
        list(read_blocks(path, 2, ("path", "mask")))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BrunaError, match="cannot be read as an image table"):
        list(read_blocks(path, 2, ("path",)))


@pytest.mark.parametrize("trained", [True, False])
def test_segment_holds_a_few_blocks_of_a_table_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: bool
) -> None:
    network = UNetSegmenter.load(save_tiny_models(tmp_path) / "unet", torch.device("cpu")) if trained else None
    images = _images(90)
    monkeypatch.setattr(tables, "ROW_GROUP", 8)
    monkeypatch.setattr(batching, "_BLOCK", 6)
    write_blocks(_cut(images, 8), tmp_path / "images")
    held, most = 0, 0
    read, write = pq.ParquetFile.read_row_group, pq.ParquetWriter.write_table

    def reading(file: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal held, most
        group = read(file, *arguments, **named)
        held += len(group)
        most = max(most, held)
        return group

    def writing(file: Any, group: Any, *arguments: Any, **named: Any) -> None:
        nonlocal held
        held -= len(group)
        write(file, group, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetFile, "read_row_group", reading)
        patch.setattr(pq.ParquetWriter, "write_table", writing)
        assert segment_table(tmp_path / "images", tmp_path / "segments", network, 3) == 90
    assert held == 0 and 8 <= most <= 24  # row groups of 8, blocks of 6
    found, whole = read_table(tmp_path / "segments"), segment_images(images, network, 3)
    assert list(found["path"]) == list(images["path"])
    assert found["mask"].tolist() == whole["mask"].tolist()
    if trained:
        assert (np.stack(found["bottleneck"].tolist()) == np.stack(whole["bottleneck"].tolist())).all()


def test_a_damaged_image_leaves_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = UNetSegmenter.load(save_tiny_models(tmp_path) / "unet", torch.device("cpu"))
    images = _images(12)
    images.loc[10, "image"] = b"no image"
    monkeypatch.setattr(tables, "ROW_GROUP", 4)
    monkeypatch.setattr(unet, "block_starts", lambda count, batch_size: range(0, count, batch_size))
    write_table(images, tmp_path / "images")
    with pytest.raises(BrunaError, match=r"train/0010\.jpg cannot be decoded as an image"):
        segment_table(tmp_path / "images", tmp_path / "segments", network, 2)
    assert not list(tmp_path.glob("*segments*"))
