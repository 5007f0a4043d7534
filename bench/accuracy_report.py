"""The results of `accuracy.py` as a page of Markdown and a figure."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from accuracy_estimators import ESTIMATORS, OTHERS
from accuracy_scenes import READ_NOISE, SCENES

Row = dict[str, Any]

COMMANDS = """    python bench/accuracy.py run --out results
    python bench/accuracy.py report --out results --markdown docs/accuracy.md --figure docs/images/accuracy.png"""
INTRODUCTION = f"""# Accuracy and honesty

Made by

{COMMANDS}

which takes two hours on one core and may be stopped and gone on with; `--group`, `--scene` and `--estimator` choose
parts. Every seed is fixed. Frames are Poisson electrons and {READ_NOISE:g} e- of read noise, whole ADU at 1 e-/ADU, on
10 e- of background; FWHM 3 px; shifts up to 2.5 px either way, tracked from one to the next. `moon` is a real picture
(scikit-image's), seen through the same optics, moved by phases of its spectrum and sampled at every second pixel.

- **rms / bound**: rms error over the Cramér-Rao bound with scale, offset and shift free, of those pixels of the frame
  that the reference also has; √(1 + 1/K) times that when the reference is the mean of K frames. 2000 trials of two axes
  know it to 1.1 %, 500 to 2.2 %, 100 to 5 %.
- **σ / scatter**: rms of the reported error over rms of the actual one; **1 σ, 2 σ**: per cent of errors within.
- **refused**: answers with a flag; they are left out of the other columns. **lost**: wrong by more than 1.5 px without
  one.
"""

NOISY_COLUMNS = ["q", "noise × noise", "rms / Hannan-Thomson", "limit of rms / bound", "kept"]
MOST = {1: 1.15, 16: 1.10}  # rms over √(1 + 1/K) times the bound
FAINT, MOST_OF_HANNAN_THOMSON = 0.45, 1.2  # the limit of one frame whose q is below
NOISE_NOISE = f"""
q is the scene's share of the gradient energy of the reference. Noise × noise is what the bound of Hannan and Thomson
(doi 10.1093/biomet/60.2.241) adds to √(1 + 1/K) for a scene of that power spectrum that is the same everywhere. Where q
is below {FAINT:g} nobody can be near √2 with one frame, and the limit is {MOST_OF_HANNAN_THOMSON:g} times that bound;
otherwise {MOST[1]:g} for one frame and {MOST[16]:g} for 16. A few stars in the dark are no scene that is the same
everywhere: who knows where they are is better than Hannan and Thomson, and so is the fit. "-": most frames are refused,
since the scale is not 5 times its error.
"""
LEFT = """
## What is left, and why

- Stars of 20 000 e-, clean reference, 1.065 for 1.05: half of the excess are pixels beside the border, where a bright
  star stands, that the taps cannot use; half is the bias of cubic splines, a fifth of the bound here. Order 5 has no
  bias, but its taps reach one pixel further: 1.19 in this scene.
- One star of 15 e- in one noisy frame is refused: its brightness is known to less than 5 of its error. With 16 frames,
  one answer of 2000 was more than 1.5 px off without a flag: the error bar is 0.3 px.
- Faint scenes without bounds (cells, granulation, moon) and few frames in the reference: what the clean reference loses
  at the border times Hannan and Thomson is 1.05 to 1.08 with 16 frames, and the filter is made of the same noisy image.
  The moon at 50 e- is at 1.10 with 16. Weights by place in several bands of frequency were tried and are worse: each
  band is noisier than all together.
- Unknown noise, one star of 20 000 e- in one noisy frame: σ / scatter 1.104 for 1.10. Some twenty bright pixels tell
  what its noise is.
- A saturated core is taken for a Gaussian star's; with wider wings (Moffat, beta 2.5 and 4) σ / scatter is 1.2.
"""
INTERLOPER = """
Where answers are wrong: the view holds one bright star, and one that is three times as bright comes in from outside.
It is taken for the first, with a `scale` of 2 to 7; no gate refuses that yet: look at `scale` where frames are as
bright as the reference.
"""
FAULTY = "5 % dead pixels, a cosmic ray of 100 σ in every frame, 30 % vignetting, saturation at half of the peak"


class Book:
    """Results by their keys."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.rows: list[Row] = [json.loads(path.read_text()) for path in paths]

    def cell(self, scene: str, peak: float, **key: Any) -> Row | None:
        """The result of a cell; None when it was not measured."""
        wanted = {
            "scene": scene,
            "peak": peak,
            "estimator": "rtreg",
            "frames": math.inf,
            "known": True,
            "fault": "none",
        }
        wanted |= key
        for row in self.rows:
            if row["kind"] == "cell" and row["key"] == wanted:
                return dict(row["result"])
        return None

    def of(self, kind: str) -> list[Row]:
        return [row for row in self.rows if row["kind"] == kind]


def levels() -> list[tuple[str, float]]:
    return [(scene, peak) for scene, field in SCENES.items() for peak in field.peaks]


def number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def honest(cell: Row) -> list[str]:
    """The columns of one cell of ours."""
    share = [f"{100 * cell[name]:.0f}" if math.isfinite(cell[name]) else "-" for name in ("within_1", "within_2")]
    return [
        number(cell["bound_px"], 4), number(cell["over_bound"]), number(cell["sigma_over_scatter"]), *share,
        f"{100 * cell['refused'] / cell['trials']:.3g} %", str(cell["lost"]), str(cell["trials"]),
    ]  # fmt: skip


COLUMNS = ["bound, px", "rms / bound", "σ / scatter", "1 σ", "2 σ", "refused", "lost", "trials"]


def ours(book: Book, title: str, heads: list[str], variants: list[tuple[list[str], dict[str, Any]]]) -> str:
    rows = []
    for scene, peak in levels():
        for names, key in variants:
            cell = book.cell(scene, peak, **key)
            if cell is not None:
                extra = _against_hannan_thomson(cell, key["frames"]) if "frames" in key else []
                rows.append([f"{scene}, {peak:g} e-", *names, *honest(cell), *extra])
    if not rows:
        return ""
    cells = [c for (s, p), (_, key) in itertools.product(levels(), variants) if (c := book.cell(s, p, **key))]
    extra = NOISY_COLUMNS if any("frames" in key for _, key in variants) else []
    return f"\n## {title}\n\n{_span(cells)}\n\n" + table(["scene, peak", *heads, *COLUMNS, *extra], rows)


def _against_hannan_thomson(cell: Row, frames: float) -> list[str]:
    """The columns of `NOISY_COLUMNS`."""
    over, noise_noise, q = cell["over_bound"], cell["noise_noise"], cell["q"]
    limit = MOST[frames]
    if frames == 1 and q < FAINT:
        limit = MOST_OF_HANNAN_THOMSON * noise_noise
    kept = "-" if not math.isfinite(over) else "yes" if over <= limit else "no"
    return [number(q), number(noise_noise), number(over / noise_noise), number(limit), kept]


def _span(cells: list[Row]) -> str:
    """Smallest and largest of what matters, in words."""
    told = [cell for cell in cells if cell["refused"] < 0.5 * cell["trials"]]
    if not told:
        return "Every cell refuses most of its frames."
    bounds, ratios = ([cell[name] for cell in told] for name in ("over_bound", "sigma_over_scatter"))
    return (
        f"Of {len(cells)} cells, {len(told)} answer more than half of their frames: rms / bound from {min(bounds):.2f} "
        f"to {max(bounds):.2f}, σ / scatter from {min(ratios):.2f} to {max(ratios):.2f}."
    )


def peers(book: Book) -> str:
    rows = []
    names = ["rtreg", "rtreg, order 5", *OTHERS]
    for scene, peak in levels():
        cells = [book.cell(scene, peak, estimator=name) for name in names]
        if any(cells[2:]):
            rows.append([f"{scene}, {peak:g} e-", *map(_peer, cells)])
    if not rows:
        return ""
    trials = {row["result"]["trials"] for row in book.of("cell") if row["key"]["estimator"] in OTHERS}
    return (
        "\n## The others, noise-free reference\n\nrms / bound of the answers within 1.5 px of the truth; in brackets "
        f"the per cent beyond, or without an answer. {'/'.join(map(str, sorted(trials)))} trials each for the "
        "others.\n\n" + table(["scene, peak", *names], rows)
    )


def _peer(cell: Row | None) -> str:
    if cell is None:
        return "-"
    gone = 100 * (cell["lost"] + cell["refused"]) / cell["trials"]
    return number(cell["over_bound"]) + (f" ({gone:.0f} %)" if gone >= 0.5 else "")


def biases(book: Book) -> str:
    worst: dict[str, dict[str, float]] = {}
    for row in book.of("bias"):
        errors = [abs(error) for _, error in row["result"]]
        worst.setdefault(row["key"]["estimator"], {})[row["key"]["scene"]] = max(errors)
    if not worst:
        return ""
    rows = [[name, *(number(worst[name].get(s), 5) for s in SCENES)] for name in ESTIMATORS if name in worst]
    return "\n## Largest bias over the fraction of a pixel, no noise, px\n\n" + table(["estimator", *SCENES], rows)


def wrong_locks(book: Book) -> str:
    rows = []
    for row in book.of("locks"):
        key, r = row["key"], row["result"]
        rows.append([
            f"{key['scene']}, {key['peak']:g} e-", f"{key['size']}²", str(r["frames"]), str(r["right"]),
            str(r["refused"]), str(r["wrong"]), number(r["lowest_contrast"]), number(r["highest_wrong"]),
        ])  # fmt: skip
    if not rows:
        return ""
    heads = [
        "scene, peak",
        "size",
        "frames",
        "right",
        "refused",
        "wrong",
        "lowest contrast",
        "highest contrast if wrong",
    ]
    return (
        "\n## Wrong locks\n\nEvery frame is searched for from nothing at the faintest level, moved by up to a quarter "
        "of the view; 256² is searched binned by two, and of the moon has every pixel. An answer more than 2 px off "
        "that carries no flag is wrong. No "
        "wrong one in n frames means a probability below 3/n, at 95 % confidence. The gate refuses contrasts below "
        "1.5. What the table does not show, since every frame of it is the first: after a good answer a match whose "
        "photometric scale has changed by more than 2 needs a contrast of 8, and a place far from the last good one "
        "is confirmed by three searches before it is a lock.\n\nIn the fields of stars, brighter ones come into view: "
        "that on one of the reference's is the highest peak of the search. No detail of the picture counts for more "
        "than a detection, and those that the reference promises and the frame does not show count against; so the "
        "place of the whole field is found. A reference of one star has no such details: beside one up to "
        "a few times as bright it is refused as ambiguous, beside one 20 times as bright it may be lost; a star "
        "alone in the frame is taken for the reference's whatever its scale.\n\n" + table(heads, rows)
    )


def write(paths: Iterable[Path], markdown: Path, figure: Path) -> None:
    """The page and its figure, from the files of the results."""
    book = Book(paths)
    known = [([word], {"known": flag}) for word, flag in (("known", True), ("unknown", False))]
    noisy = [
        ([f"{k}", *words], {"frames": k, **key}) for k in (1, 16) for words, key in known
    ]  # fmt: skip
    faults = [
        ([fault], {"fault": fault, "estimator": "rtreg, robust" if fault == "cosmic" else "rtreg"})
        for fault in ("dead", "cosmic", "vignetted", "saturated")
    ]
    page = [
        INTRODUCTION,
        f"\n![Error over the bound, honesty and bias]({os.path.relpath(figure, markdown.parent)})\n",
        ours(book, "Noise-free reference", ["noise"], known),
        ours(book, "The reference is the mean of K frames, another one for every trial", ["K", "noise"], noisy),
        NOISE_NOISE,
        peers(book),
        biases(book),
        ours(book, "`robust = true` on clean frames", ["option"], [(["robust"], {"estimator": "rtreg, robust"})]),
        ours(book, FAULTY, ["fault"], faults),
        LEFT,
        wrong_locks(book),
    ]  # fmt: skip
    markdown.write_text("".join(page))
    draw(book, figure)


def draw(book: Book, figure: Path) -> None:
    """Three panels: error over the bound, calibration, and bias over the fraction."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [f"{scene} {peak:g}" for scene, peak in levels()]
    fig, (top, middle, bottom) = plt.subplots(3, 1, figsize=(11, 11), layout="constrained")
    for name in ("rtreg", *OTHERS):
        cells = [book.cell(scene, peak, estimator=name) for scene, peak in levels()]
        values = [math.nan if cell is None else cell["over_bound"] for cell in cells]
        thick = {"lw": 2.5, "color": "k"} if name == "rtreg" else {"lw": 1}
        top.plot(names, values, "o-", ms=4, label=name, **thick)
    top.axhline(1.0, color="grey", lw=0.5)
    top.set(yscale="log", ylabel="rms error / Cramér-Rao bound", title="Noise-free reference")
    top.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for label, key in (
        ("noise-free", {}), ("noise-free, noise unknown", {"known": False}), ("16 frames", {"frames": 16}),
        ("1 frame", {"frames": 1}), ("1 frame, noise unknown", {"frames": 1, "known": False}),
    ):  # fmt: skip
        cells = [book.cell(scene, peak, **key) for scene, peak in levels()]
        values = [math.nan if cell is None else cell["sigma_over_scatter"] for cell in cells]
        middle.plot(names, values, "o", ms=5, label=label)
    middle.axhspan(0.93, 1.07, color="green", alpha=0.15)
    middle.set(ylabel="reported σ / actual scatter", ylim=(0.5, 1.5), title="Reference")
    middle.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for row in book.of("bias"):
        if row["key"]["scene"] == "granulation":
            fractions, errors = zip(*row["result"], strict=True)
            bottom.plot(fractions, [abs(e) + 1e-7 for e in errors], lw=1, label=row["key"]["estimator"])
    bottom.set(yscale="log", xlabel="shift, px", ylabel="|bias|, px", title="granulation, no noise")
    bottom.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for axis in (top, middle):
        axis.tick_params(axis="x", rotation=60, labelsize=7)
    figure.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(figure, dpi=110)
