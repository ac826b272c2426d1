"""Draw every figure, write the report page and the model card, from what the other stages have written.

A change to a picture runs this stage again and no other. It loads no network.
"""

import harness  # isort: split

from bruna.files import read_json
from bruna.headlines import HEADLINES
from bruna.params import read_params
from bruna.pipeline.report import PAGE, write_report
from bruna.progress import table


def run(stage: harness.Stage) -> None:
    metrics: dict[str, float] = {}
    for measuring in dict.fromkeys(headline.stage for headline in HEADLINES.values()):
        metrics |= read_json(stage.project / "metrics" / f"{measuring}.json")
    params = read_params(stage.project / "params.yaml")
    counts = write_report(stage.artifacts, stage.data, metrics, params, stage.inputs, stage.tracker)
    page = (stage.artifacts / "report" / PAGE).relative_to(stage.project)
    table("report", ("pictures of", "pictures"), [*counts.items(), (f"all, on {page}", sum(counts.values()))])


if __name__ == "__main__":
    harness.main(__file__, __doc__, run)
