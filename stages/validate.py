"""Check the data set folder: names, images, annotations and masks.

Writes the manifest of accepted images, and Great Expectations' pages in reports/data_docs. A broken data set ends the
pipeline here, with what is wrong and where.
"""

import shutil

import harness  # isort: split

from bruna.dataset.tables import write_table
from bruna.dataset.validation import validate_dataset
from bruna.files import write_json


def run(stage: harness.Stage) -> None:
    docs = stage.project / "reports" / "data_docs"
    shutil.rmtree(docs, ignore_errors=True)
    try:
        result = validate_dataset(stage.data, stage.params, docs=docs)
    finally:  # of a broken data set too: there the pages are wanted most
        if docs.exists():
            stage.tracker.file(docs, "data_docs")
    write_table(result.manifest, stage.artifacts / "validate" / "manifest.parquet")
    for problem in result.problems:
        print(f"note: {problem}")
    figures = result.figures()
    write_json(figures, stage.figures_file)
    stage.finish(figures)


if __name__ == "__main__":
    harness.main(__file__, __doc__, run)
