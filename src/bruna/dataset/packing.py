"""Pack a validated data set into image tables: training, validation, mask pairs and the test subsets."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from bruna.dataset.annotations import Annotations
from bruna.dataset.decoding import read_file
from bruna.dataset.filenames import LABELLED, MASK_PAIR, UNLABELLED_SUBSETS
from bruna.dataset.tables import ROW_GROUP, attribute_columns, write_blocks
from bruna.errors import BrunaError
from bruna.files import whole_folder
from bruna.progress import track

TEST_SUBSETS: tuple[str, ...] = (*LABELLED[1:], *UNLABELLED_SUBSETS)
_KINDS = {"path": pa.string(), "image": pa.binary(), "mask": pa.binary(), "part": pa.string()}
"""Named, or a table without rows would get columns of type null."""


def pack_tables(
    folder: Path,
    manifest: pd.DataFrame,
    annotations: Annotations,
    train: npt.NDArray[np.bool_],
    out: Path,
    *,
    mask_train_share: float,
    seed: int,
) -> dict[str, int]:
    """Write `train.parquet`, `validation.parquet`, `masks.parquet` and `test/*.parquet` under `out`.

    Rows are sorted by path. `masks.parquet` has the columns `path`, `image`, `mask` (bytes as on disk) and
    `part` (`train` or `held_out`); it has no rows where the data set has no masks. `test/` holds a table a test
    subset that exists, and is empty where none does.

    Args:
        folder: the data set.
        manifest: its accepted files.
        annotations: of its identities or images.
        train: True for each labelled image of the manifest (its rows of the subset `train`) that goes to
            `train.parquet`; the others go to `validation.parquet`.
        out: where to write.
        mask_train_share: share of the mask pairs that train the U-Net.
        seed: decides which pairs those are.

    Returns:
        Rows of each table: `train`, `validation`, `masks_train`, `masks_held_out`, `test_query` and so on.

    Raises:
        BrunaError: a file changed or vanished since it was validated, or the disk is full.
    """
    labelled = manifest[manifest["subset"] == "train"]
    rows: dict[str, int] = {}
    for name, part in (("train", labelled[train]), ("validation", labelled[~train])):
        write_images(folder, part, annotations, out / f"{name}.parquet")
        rows[name] = len(part)
    pairs = manifest[manifest["subset"] == MASK_PAIR].sort_values("path")
    parts = mask_parts(len(pairs), mask_train_share, seed)
    write_masks(folder, pairs, parts, out / "masks.parquet")
    rows |= {"masks_train": int((parts == "train").sum()), "masks_held_out": int((parts == "held_out").sum())}
    with whole_folder(out / "test") as test:
        for subset in TEST_SUBSETS:
            part = manifest[manifest["subset"] == subset]
            if len(part):
                write_images(folder, part, annotations, test / f"{subset}.parquet")
                rows[f"test_{subset}"] = len(part)
    return rows


def mask_parts(count: int, share: float, seed: int) -> npt.NDArray[np.str_]:
    """Which of `count` mask pairs train: `train` or `held_out` each, both present from two pairs on."""
    inside = min(max(round(share * count), 1), max(count - 1, 1))
    parts = np.full(count, "held_out")
    parts[np.random.default_rng(seed).permutation(count)[:inside]] = "train"
    return parts


def write_images(folder: Path, rows: pd.DataFrame, annotations: Annotations, path: Path) -> None:
    """Write an image table (columns in `dataset/tables.py`) of some rows of the manifest, sorted by path."""
    rows = rows.sort_values("path")

    def block(part: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "path": part["path"].astype(object).to_numpy(),
                "image": pd.Series([_read(folder, p, m) for p, m in _with_md5(part)], dtype=object),
                "identity": part["identity"].to_numpy(np.int32),
                "camera": part["camera"].to_numpy(np.int16),
                **attribute_columns(annotations.of(part), annotations.attributes),
            }
        )

    write_blocks((block(part) for part in _blocks(rows, f"pack {path.stem}")), path, _KINDS)


def write_masks(folder: Path, pairs: pd.DataFrame, parts: npt.NDArray[np.str_], path: Path) -> None:
    """Write the table of mask pairs; `parts` goes with the rows of `pairs`."""

    def block(part: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "path": part["path"].astype(object).to_numpy(),
                "image": pd.Series([_read(folder, p, m) for p, m in _with_md5(part)], dtype=object),
                "mask": pd.Series([_read(folder, p, None) for p in part["mask_path"]], dtype=object),
                "part": part["part"].astype(object).to_numpy(),
            }
        )

    write_blocks((block(part) for part in _blocks(pairs.assign(part=parts), "pack masks")), path, _KINDS)


def _blocks(rows: pd.DataFrame, description: str) -> Iterator[pd.DataFrame]:
    # At least one block, so that a table without rows is written with its columns.
    blocks = [rows.iloc[i : i + ROW_GROUP] for i in range(0, max(len(rows), 1), ROW_GROUP)]
    return iter(track(blocks, description, total=len(rows), count=len))


def _with_md5(rows: pd.DataFrame) -> Iterator[tuple[str, str]]:
    return zip(rows["path"], rows["md5"], strict=True)


def _read(folder: Path, path: str, md5: str | None) -> bytes:
    try:
        encoded = read_file(folder / path)
    except OSError as error:
        raise BrunaError(f"{folder / path} cannot be read ({error.strerror}). Run `dvc repro` again.") from None
    if md5 is not None and hashlib.md5(encoded, usedforsecurity=False).hexdigest() != md5:
        raise BrunaError(f"{folder / path} has changed since it was validated. Run `dvc repro` again.")
    return encoded
