"""Data sets that lack something: known before any training, and through to a page all the same."""

from pathlib import Path

import pytest

from bruna.dataset.dataset_file import read_dataset_file
from bruna.dataset.facts import find_files
from bruna.dataset.tables import attributes_of, read_table
from bruna.errors import BrunaError
from bruna.files import read_json
from bruna.pipeline.check import check
from bruna.pipeline.misfits import adapt, lacks
from lacking import SETS, untrained, untrained_without
from project_copy import written_by
from tiny_records import PROJECT, tiny
from tiny_stages import STAGES, run_stage


@pytest.mark.parametrize("name", SETS)
def test_what_lacks_is_known_and_the_rest_goes_through_to_a_page(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bruna.report.style.DPI", 40)  # nobody looks at the pictures
    lacking, make = SETS[name]
    data, file = tmp_path / "data", tmp_path / "params.yaml"
    data.mkdir()
    make(data)
    dataset = read_dataset_file(data)
    assert lacks(find_files(data, identities=dataset.identities), dataset) == lacking
    file.write_text((PROJECT / "params.yaml").read_text())
    with pytest.raises(BrunaError) as error:
        check(file, data)
    changed = {change.key for change in adapt(file, data)}
    assert all(f"{key} is " in str(error.value) for key in changed)
    params = tiny(check(file, data))
    assert not adapt(file, data)
    for stage in STAGES:
        run_stage(stage, tmp_path, params)
        assert not [path for path in written_by(stage) if not (tmp_path / path).exists()]  # DVC asks for all of them
    assert attributes_of(read_table(tmp_path / "artifacts" / "split" / "train.parquet")) == dataset.tasks
    page = (tmp_path / "artifacts" / "report" / "report.html").read_text()
    assert untrained(tmp_path / "artifacts") == untrained_without(lacking)
    assert ("there is no Task 1" in page) == ("attributes" in lacking)
    metrics = read_json(tmp_path / "metrics" / "evaluate.json")
    assert ("map" in metrics) == (not {"cameras", "identities"} & set(lacking))
    assert ("test_map" in metrics) == (not {"query and gallery", "identities"} & set(lacking))
    if lacking == ["identities"]:
        assert {"attribute_accuracy", "test_attribute_accuracy"} <= set(metrics)
        assert "Attributes as they are predicted, test set" in page
