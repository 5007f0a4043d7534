"""Coverage-guided fuzzing of one target, with atheris: ``pip install rtreg[fuzz]``.

    python tests/fuzz/run.py frame -max_total_time=600

Begins with the seeds and the stored corpus, keeps what is new in a folder of its own below $TMPDIR, and ends at the
first finding with the input that did it: put that into tests/fuzz/corpus/TARGET once it is fixed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import atheris  # noqa: E402

with atheris.instrument_imports(include=["rtreg.io", "msgpack"]):
    from fuzz.seeds import seeds
    from fuzz.targets import TARGETS


def main() -> None:
    """Fuzz the target named first until libFuzzer's options end it."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"name a target: {', '.join(TARGETS)}")
    name = sys.argv.pop(1)
    work = Path(tempfile.gettempdir()) / "rtreg-fuzz" / name
    work.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()[name]):
        (work / f"seed-{number}").write_bytes(seed)
    stored = HERE / "corpus" / name
    folders = [str(work), *([str(stored)] if stored.is_dir() else [])]
    atheris.Setup([sys.argv[0], *folders, "-max_len=8192", *sys.argv[1:]], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
