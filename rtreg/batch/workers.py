"""Where chunks are worked on: in this process, in a pool of processes, or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from rtreg.errors import ConfigError, RtregError
from rtreg.io.extras import need
from rtreg.version import __version__

__all__ = ["in_cluster", "in_processes"]

T = TypeVar("T")
Work = Callable[[int], T]
CONNECT_SECONDS = 10.0


def in_processes(work: Work[T], chunks: Sequence[int], jobs: int) -> Iterator[tuple[int, T]]:
    """Each chunk with its result, in the order in which they are ready; `work` must be picklable unless `jobs` is 1.

    Raises
    ------
    RtregError
        A process died; and whatever `work` raises.
    """
    if jobs == 1 or len(chunks) < 2:
        yield from ((chunk, work(chunk)) for chunk in chunks)
        return
    # spawned, not forked: threads of libraries that are running here would not be there
    context, run = multiprocessing.get_context("spawn"), secrets.token_hex(8)
    pool = ProcessPoolExecutor(min(jobs, len(chunks)), mp_context=context, initializer=_enter)
    try:
        futures = {pool.submit(_do, run, work, chunk): chunk for chunk in chunks}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    except BrokenProcessPool:
        raise RtregError(
            "a worker process died, perhaps for lack of memory; what is finished is kept: run the same again, with "
            "fewer --jobs"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_kept: tuple[str, Work[Any]] | None = None  # of a worker process


def _do(run: str, work: Work[T], chunk: int) -> T:
    """A chunk by the work as it first came in this run: what it has made ready for itself serves all chunks."""
    global _kept
    if _kept is None or _kept[0] != run:
        _kept = run, work
    kept: Work[T] = _kept[1]
    return kept(chunk)


def _enter() -> None:
    """What a worker process does first: leave Ctrl-C to its parent, and never outlive it.

    After a kill a resumed run would have an orphan at work on the same files.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch(sentinel: int) -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()


def in_cluster(work: Work[T], chunks: Sequence[int], address: str) -> Iterator[tuple[int, T]]:
    """As `in_processes`, on the Dask cluster whose scheduler listens at `address`; encryption is Dask's configuration.

    Raises
    ------
    ConfigError
        No dask.distributed here, or no scheduler there.
    """
    distributed = need("distributed", "batch", "a Dask cluster")
    if address.startswith("tls://") and not distributed.Security().tls_client_cert:
        raise ConfigError(
            f"{address} needs certificates in Dask's configuration, distributed.comm.tls: see docs/batch.md"
        )
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"no Dask scheduler can be used at {address}: {error}") from None
    with client:
        _check_workers(client, address)
        yield from _results(client, distributed, work, chunks)


def _check_workers(client: Any, address: str) -> None:
    """Refuse a cluster without workers, and workers that would not measure as this rtreg does."""
    if not client.scheduler_info()["workers"]:
        raise ConfigError(f"the Dask scheduler at {address} has no workers; start some: dask worker {address}")
    try:
        versions: dict[str, str] = client.run(_version)
    except ImportError as error:
        raise ConfigError(f"workers of {address} cannot import rtreg: install {__version__} there ({error})") from None
    others = {worker: version for worker, version in versions.items() if version != __version__}
    if others:
        raise ConfigError(f"workers of {address} have another rtreg than this, {__version__}: {others}")


def _version() -> str:
    return __version__


def _results(client: Any, distributed: Any, work: Work[T], chunks: Sequence[int]) -> Iterator[tuple[int, T]]:
    shared = client.scatter(work, broadcast=True, hash=False)
    futures = {client.submit(_call, shared, chunk, pure=False): chunk for chunk in chunks}
    try:
        ready = distributed.as_completed(list(futures), loop=client.loop, with_results=True)
        for future, result in ready:
            yield futures.pop(future), result
    except distributed.KilledWorker as error:
        raise RtregError(
            f"workers of the Dask cluster died; what is finished is kept: run the same again ({error})"
        ) from None
    finally:
        client.cancel(list(futures))


def _call(work: Work[T], chunk: int) -> T:
    return work(chunk)
