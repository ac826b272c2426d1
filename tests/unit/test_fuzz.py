"""Whatever stands in an input: it works, or it is refused in words (tests/fuzz). There is no third outcome.

`python tests/unit/test_fuzz.py SECONDS [NAME ...]` goes on for so long with each of the readers.
"""

import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))

from bruna import runtime
from fuzz import Fuzz, Hangs
from fuzz.commands import fuzz_attributes, fuzz_evaluate, fuzz_import, fuzz_validate
from fuzz.index import fuzz_conditions, fuzz_index
from fuzz.settings import fuzz_checkpoints, fuzz_figures, fuzz_models, fuzz_params, fuzz_presets, fuzz_pretrained

FUZZERS: dict[str, tuple[Fuzz, int]] = {
    "import": (fuzz_import, 12),
    "validate": (fuzz_validate, 8),
    "attributes": (fuzz_attributes, 20),
    "evaluate": (fuzz_evaluate, 4),
    "params": (fuzz_params, 40),
    "presets": (fuzz_presets, 25),
    "models": (fuzz_models, 60),
    "pretrained": (fuzz_pretrained, 60),
    "checkpoints": (fuzz_checkpoints, 60),
    "figures": (fuzz_figures, 200),
    "index": (fuzz_index, 40),
    "conditions": (fuzz_conditions, 100),
}
"""How each is done, and the rounds that a test takes."""


@pytest.mark.parametrize("name", FUZZERS)
def test_it_works_or_it_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "limit_instructions", lambda _: None)
    fuzz, rounds = FUZZERS[name]
    found = Counter(fuzz(tmp_path, random.Random(f"{name} {seed}")) for seed in range(rounds))
    assert "works" in found and len(found) > 1, found  # neither goes through whatever it is, nor is nothing read


def main(seconds: float, names: list[str]) -> int:
    """Returns the number of findings."""
    findings = 0
    for name in names or FUZZERS:
        started, found, seed, slowest = time.monotonic(), Counter[str](), time.time_ns(), 0.0
        while time.monotonic() - started < seconds:
            with tempfile.TemporaryDirectory() as folder:
                for _ in range(50):
                    seed, began = seed + 1, time.process_time()
                    try:
                        found[FUZZERS[name][0](Path(folder), random.Random(f"{name} {seed}"))] += 1
                    except (Exception, Hangs):
                        findings += 1
                        print(f"{name}, seed {seed}:", traceback.format_exc(), sep="\n", file=sys.stderr, flush=True)
                    slowest = max(slowest, time.process_time() - began)
                    if time.monotonic() - started > seconds:
                        break
        print(name, dict(found), f"the slowest took {slowest:.1f} s", flush=True)
    return findings


if __name__ == "__main__":
    sys.exit(min(main(float(sys.argv[1]), sys.argv[2:]), 1))
