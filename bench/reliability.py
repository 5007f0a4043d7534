"""Every fault that is promised something, made to happen to real processes, and what was measured: a Markdown page.

    python bench/reliability.py > docs/reliability.md          everything, about a quarter of an hour
    python bench/reliability.py restart frozen kills           some rows only, to the terminal

Times are upper bounds: the camera of most rows and the ear are threads of one Python process beside what is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

import chaos  # noqa: E402
import reliability_kills as kills  # noqa: E402
import reliability_rows as rows  # noqa: E402
from reliability_curve import stranger  # noqa: E402
from reliability_rig import Measured, Rig  # noqa: E402

HEAD = """\
# Reliability

<!-- Made by `python bench/reliability.py > docs/reliability.md`. -->

What goes wrong, what rtreg promises then, the test that holds it to that, and what was measured. Frames are 64 x 64 at
{rate:g} Hz. Measured on one host with two cores that other work shared, by one command, `python bench/reliability.py`;
times are upper bounds. "Recover" counts from the first frame after the fault, or from the moment that a restarted
process says it is ready, to the first correction that may be acted on.

| fault | promise | test | time to detect | time to recover | frames lost |
|---|---|---|---|---|---|
"""

CHAOS = """
## Everything at once

The demo with `rtreg chaos` between camera and tracker, for {seconds:g} s at {rate:g} Hz: {share:.0%} of the frames each
dropped, sent twice, reordered, delayed, corrupted and resized, and the feed frozen for that part of the time. A corrupt
header may tell any number or epoch, hence what is "lost".

"""

ROWS: dict[str, tuple[str, str, str, Callable[[Rig], Measured]]] = {
    "restart": (
        "publisher restart",
        "back within 250 ms; new epoch, same reference",
        "test_tracker: restarted_publisher",
        rows.restart,
    ),
    "frozen": (
        "publisher frozen, cable pulled",
        "STALE within max(5 periods, 1 s); corrections go on at 10 Hz or more",
        "test_faults: frozen_publisher",
        rows.frozen,
    ),
    "numbers": (
        "gap, duplicate, reversal, wrap of seq",
        "counted to the frame; a duplicate changes nothing",
        "test_faults: gaps_and_reversals, seq_that_wraps; test_identity",
        rows.numbers,
    ),
    "slow": (
        "slow us",
        "newest frame wins; older than `max_age` gives no correction",
        "test_faults: tracker_that_was_stopped",
        rows.slow_us,
    ),
    "peer": ("slow them", "dropped for that peer only", "test_sockets: subscriber_that_does_not_read", rows.slow_them),
    "malformed": (
        "malformed, oversize, nesting, unknown version",
        "counted by reason, never out of the loop",
        "test_faults: oversize_and_nesting_bombs; test_tracker: bad_messages",
        rows.malformed,
    ),
    "shape": (
        "shape or dtype changes",
        "spoken on while warming up; acquired anew",
        "test_tracker: another_shape",
        rows.shape,
    ),
    "pictures": (
        "NaN, Inf, zero, constant, saturated frames",
        "HOLD with the reason; never in the reference",
        "test_faults: frames_without_a_picture",
        rows.pictures,
    ),
    "clock": (
        "steps of the UTC clock",
        "only the label changes",
        "test_faults: step_of_the_utc_clock",
        rows.clock,
    ),
    "hostile": (
        "2000 junk connections, 20 x 20000 subscriptions",
        "no gap for the good subscriber, bounded memory",
        "test_faults: hostile_peers",
        rows.hostile_peers,
    ),
    "recording": (
        "SIGKILL while recording",
        "all but the last chunk readable",
        "test_recorder",
        rows.recording,
    ),
    "stop": (
        "SIGTERM, SIGINT to the tracker",
        "STOPPING said, exit 0 within 1 s",
        "test_tracker: sigterm; test_faults: second_signal",
        rows.stop,
    ),
}

OTHERS = ("runaway", "stranger", "kills", "chaos")


def main() -> int:
    """Run the rows asked for, print the page; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {' '.join((*ROWS, *OTHERS))} (default: all)")
    parser.add_argument("--each", type=int, default=20, help="SIGKILLs and SIGSTOPs (default: %(default)s each)")
    parser.add_argument("--chaos", type=float, default=600.0, metavar="S", help="of chaos, s (default: %(default)s)")
    options = parser.parse_args()
    if unknown := set(options.rows) - {*ROWS, *OTHERS}:
        parser.error(f"no rows {' '.join(sorted(unknown))}")
    wanted = options.rows or [*ROWS, *OTHERS]
    broken: list[str] = []
    print(HEAD.format(rate=rows.RATE), end="")
    with tempfile.TemporaryDirectory() as logs, contextlib.ExitStack() as stack:
        if set(wanted) & set(ROWS):
            rig = stack.enter_context(Rig(Path(logs)))
        for name, (fault, promise, test, measure) in ROWS.items():
            if name in wanted:
                began = time.monotonic()
                _row(fault, promise, test, measure(rig), broken)
                print(f"{name}: {time.monotonic() - began:.1f} s", file=sys.stderr)
    with tempfile.TemporaryDirectory() as logs:
        if "runaway" in wanted:
            test = "test_faults: loop_of_the_wrong_sign; test_runaway"
            _row("wrong sign of the matrix", "loop opened, with the reason", test, kills.runaway(Path(logs)), broken)
        if "stranger" in wanted:
            promise = "gets nothing from a CURVE endpoint, controls nothing"
            _row("a client without the key", promise, "test_secure; test_curve", stranger(Path(logs)), broken)
        if "kills" in wanted:
            print(kills.page(Path(logs), options.each, broken), end="", flush=True)
    if "chaos" in wanted:
        print(_chaos(options.chaos, broken))
    for fault in broken:
        print(f"broken: {fault}", file=sys.stderr)
    return 1 if broken else 0


def _chaos(seconds: float, broken: list[str]) -> str:
    """The section of that name."""
    share, rate, seed = 0.05, 500.0, 1
    watch = chaos.run(seconds, share, rate, seed)
    if watch.broken or watch.wrong or watch.recount.differences(watch.ledger):
        broken.append("chaos: identity, accounts or locks")
    head = CHAOS.format(seconds=seconds, rate=rate, share=share)
    return head + chaos.report(watch, seconds, share, rate, seed)


def _row(fault: str, promise: str, test: str, measured: Measured, broken: list[str]) -> None:
    detect, recover, lost, ok = measured
    if not ok:
        broken.append(fault)
    kept = "" if ok else "**broken** "
    print(f"| {fault} | {promise} | {test} | {kept}{detect} | {recover} | {lost} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
