"""Services as real processes on loopback."""

from __future__ import annotations

import pytest
from processes import NAMES, Service

from rtreg.io.config import Endpoints


@pytest.fixture(scope="session")
def free_endpoints():
    """A function that gives `Endpoints` on free ports."""
    from rtreg.services.demo import free_endpoints

    def give():
        overrides, held = free_endpoints(NAMES)
        for reserve in held:
            reserve.close()
        return Endpoints(**dict(override.removeprefix("endpoints.").split("=") for override in overrides))

    return give


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """A function that starts a service; all are gone at the end."""
    started = []

    def start(verb, config, ends, *overrides):
        at = [f"endpoints.{name}={getattr(ends, name)}" for name in NAMES]
        log = tmp_path_factory.mktemp("log") / f"{verb}.log"
        started.append(Service(verb, config, [*at, *overrides], log))
        return started[-1]

    yield start
    for service in started:
        service.kill()
