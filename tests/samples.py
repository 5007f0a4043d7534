"""Records that many tests need one of."""

from rtreg.records import Command, Estimate, ReferenceInfo, Result, State, Verdict

RESULT = Result(
    stream="cam",
    epoch=1,
    seq=2,
    t_ns=3,
    state=State.LOCKED,
    estimate=Estimate(),
    verdict=Verdict.OK,
    command=Command(),
    reference=ReferenceInfo(),
)
