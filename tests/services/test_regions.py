"""Several stars, from the camera process to the correction on the wire."""

from __future__ import annotations

import time

import numpy as np
from processes import until

from rtreg.io.sockets import CorrectionSubscriber, StatusSubscriber
from rtreg.records import State

BOXES = [[88, 326, 48, 48], [148, 281, 48, 48], [560, 366, 48, 48], [20, 20, 16, 16]]  # the last one without a star


def test_the_correction_says_what_each_region_says(launch, free_endpoints):
    ends = free_endpoints()
    tracker = launch(
        "track", "multi_star", ends, f"regions.boxes={BOXES}", "reference.frames=4", "tracker.max_age_ms=2000",
        "controller.closed=false",
    ).wait_ready()  # fmt: skip
    camera = launch("camera", "multi_star", ends).wait_ready()
    with (
        CorrectionSubscriber(ends.corrections, "guider") as corrections,
        StatusSubscriber(ends.status, "guider") as statuses,
    ):

        def locked():
            got = corrections.receive(200)
            return got if got is not None and got.result.state is State.LOCKED else None

        first = until(locked)
        field = first.result.estimate.field
        assert [bool(part.rejected) for part in field.parts] == [False, False, False, True]
        assert abs(field.rotation) < 6 * field.rotation_sigma < 1e-2
        assert abs(field.magnification - 1.0) < 6 * field.magnification_sigma
        later = [until(locked) for _ in range(10)]
        moved = [np.subtract(got.result.estimate.shift, first.result.estimate.shift) for got in later]
        truth = [np.subtract(got.delivery.truth, first.delivery.truth) for got in later]
        np.testing.assert_allclose(moved, truth, atol=0.05)  # sigma is 0.002

        def told():
            time.sleep(0.01)
            status = statuses.receive(0)
            return status if status and status["state"] == "LOCKED" else None

        assert until(told)["regions"] == BOXES
    assert camera.stop() == 0
    assert tracker.stop() == 0
