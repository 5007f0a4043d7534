"""All that is no frame, as it arrives."""

from __future__ import annotations

from collections.abc import Sequence

from rtreg.errors import WireError
from rtreg.io import checkpoint as checkpoints
from rtreg.io.fields import unpack_field
from rtreg.io.wire.bodies import (
    EVENT_BODY,
    Body,
    Buffer,
    CheckpointHead,
    Correction,
    CorrectionBody,
    IntakeBody,
    OrderBody,
    TickBody,
)
from rtreg.io.wire.maps import check_parts, check_topic, convert, unpack_map
from rtreg.records import Checkpoint, Command, Delivery, Estimate, Event, ReferenceInfo, Result, Shift, Verdict


def _verdict(reasons: list[str]) -> Verdict:
    """The flags we know; a newer sender's unknown reason still counts as a reason."""
    verdict = Verdict.OK
    for reason in reasons:
        verdict |= Verdict.__members__.get(reason, Verdict.OUT_OF_RANGE)
    return verdict


def unpack_correction(parts: Sequence[Buffer]) -> Correction:
    """A correction from its two parts; raises `WireError`.

    What the wire does not carry (photometry, iterations) is unknown in the result's estimate.
    """
    check_parts(parts, 2)
    raw = unpack_map(parts[1])
    body = convert(raw, CorrectionBody)
    check_topic(parts[0], "c", body.stream)
    xx, xy, yy = body.cov
    verdict = _verdict(body.verdict)
    result = Result(
        stream=body.stream,
        epoch=body.epoch,
        seq=body.seq,
        t_ns=body.t_ns,
        state=body.state,
        estimate=Estimate(
            shift=Shift(*body.shift),
            covariance=((xx, xy), (xy, yy)),
            chi2_dof=body.chi2,
            contrast=body.contrast,
            regime=body.regime,
            field=None if body.field is None else unpack_field(body.field),
        ),
        verdict=verdict,
        command=Command(u=body.command, unit=body.unit, mode=body.mode),
        reference=ReferenceInfo(id=body.ref.id, age_frames=body.ref.age_frames, walk=body.ref.walk),
    )
    lat = body.lat
    delivery = Delivery(
        sent=lat.sent,
        recv=lat.recv,
        start=lat.start,
        done=lat.done,
        out=lat.out,
        valid_until=body.valid_until,
        host=body.host,
        truth=None if body.truth is None else Shift(*body.truth),
        lost=body.lost,
        skipped=body.skipped,
        event=body.event,
    )
    return Correction(result, delivery)


def unpack_event(parts: Sequence[Buffer]) -> Event:
    """An order, a tick or an intake from its two parts; raises `WireError`."""
    check_parts(parts, 2)
    body: OrderBody | TickBody | IntakeBody = convert(unpack_map(parts[1]), EVENT_BODY)
    check_topic(parts[0], "o", body.stream)
    return body.record()


def unpack_checkpoint(parts: Sequence[Buffer]) -> Checkpoint:
    """A checkpoint from its three parts; raises `WireError`."""
    check_parts(parts, 3)
    head = convert(unpack_map(parts[1]), CheckpointHead)
    check_topic(parts[0], "k", head.stream)
    return Checkpoint(head.n, head.run, checkpoints.unpack(parts[2]))


def unpack_status(parts: Sequence[Buffer]) -> Body:
    """A status map from its two parts; raises `WireError`."""
    check_parts(parts, 2)
    body = unpack_map(parts[1])
    if body.get("kind") != "status":
        raise WireError("kind", f"a status was expected, not {str(body.get('kind'))[:20]!r}")
    check_topic(parts[0], "s", str(body.get("stream"))[:40])
    return body
