"""What of a folder the models have seen in training: figures that say little about anybody else."""

import hashlib
from pathlib import Path

import pandas as pd

from bruna.dataset.dataset_file import DatasetFile
from bruna.dataset.tables import read_table
from bruna.errors import counted
from bruna.files import read_object
from bruna.headlines import FIGURES_FILE

_SAY = "the figures say little about people whom they have never seen."


def trained_on(table: pd.DataFrame, dataset: DatasetFile, models: Path) -> tuple[dict[str, int], list[str]]:
    """Count the images and the identities of a folder that are in the training table of the models.

    An image is there if it is byte for byte. An identity is there if one of its images is; or if its number is, but
    only where both data sets have the same name: everywhere else a number says nothing about who that is.

    Args:
        table: an image table of the folder (`bruna.dataset.tables`).
        dataset: its dataset.yaml.
        models: the pipeline's artifacts folder, with `split` and `validate` for what the models were trained on.

    Returns:
        `images_trained_on` and `identities_trained_on`, both left out where `split` is missing; and what to say.
    """
    file = models / "split" / "train.parquet"
    if not file.exists():
        return {}, [f"{file} is missing: nobody knows whether the models were trained on these images."]
    training = read_table(file, ["image", "identity"])
    digests = set(map(_digest, training["image"]))
    seen = table["image"].map(_digest).isin(digests)
    people = _people(table)
    by_image, by_number = _people(table[seen]), people & _people(training) if _same_name(dataset, models) else set()
    said = []
    if seen.any():
        whom = f", which show {len(by_image):,} of {counted(len(people), 'identities')}" if by_image else ""
        said.append(f"the models were trained on {seen.sum():,} of {counted(len(table), 'images')}{whom}: {_SAY}")
    if by_number - by_image:
        said.append(
            f"{len(by_number):,} of {counted(len(people), 'identities')} have the numbers of identities that the "
            f"models were trained on, and the data set has the same name ({dataset.name}): if they are the same "
            f"people, {_SAY}"
        )
    return {"images_trained_on": int(seen.sum()), "identities_trained_on": len(by_image | by_number)}, said


def _same_name(dataset: DatasetFile, models: Path) -> bool:
    file = models / "validate" / FIGURES_FILE
    return file.exists() and read_object(file).get("name") == dataset.name


def _people(table: pd.DataFrame) -> set[int]:
    return set(table["identity"][table["identity"] > 0].tolist())


def _digest(image: bytes) -> bytes:
    return hashlib.sha256(image).digest()
