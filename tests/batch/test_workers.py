"""Where chunks are worked on, and what is said when it fails. Clusters are real in tests/cli/test_batch.py."""

import os

import pytest

from rtreg.batch.workers import _check_workers, in_processes
from rtreg.errors import ConfigError, RtregError
from rtreg.version import __version__


def test_one_process_is_this_one():
    assert list(in_processes(lambda chunk: (chunk, os.getpid()), [3, 1], 1)) == [
        (3, (3, os.getpid())),
        (1, (1, os.getpid())),
    ]


def test_a_worker_that_dies_is_told():
    with pytest.raises(RtregError, match=r"a worker process died.*fewer --jobs"):
        list(in_processes(os._exit, [1, 2], 2))


class Cluster:
    """What `_check_workers` asks of a client."""

    def __init__(self, versions):
        self.versions = versions

    def scheduler_info(self):
        return {"workers": self.versions}

    def run(self, function):
        if self.versions is not None and "none" in self.versions.values():
            raise ModuleNotFoundError("No module named 'rtreg'")
        return self.versions


def test_workers_like_us_will_do():
    _check_workers(Cluster({"tcp://a": __version__, "tcp://b": __version__}), "tcp://s")


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({}, "has no workers; start some: dask worker tcp://s"),
        ({"tcp://a": "none"}, "cannot import rtreg"),
        ({"tcp://a": __version__, "tcp://b": "0.0.1"}, r"another rtreg than this.*\{'tcp://b': '0.0.1'\}"),
    ],
)
def test_workers_that_would_not_do(versions, said):
    with pytest.raises(ConfigError, match=said):
        _check_workers(Cluster(versions), "tcp://s")
