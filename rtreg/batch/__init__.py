"""Registering whole archives: in chunks, on all cores or a Dask cluster, resumable; ``rtreg batch`` on a command line.

`batch` does it all. `finder` says how a frame is measured, `rows` what comes out, `store` keeps what is finished,
`aligned` writes aligned stacks, `workers` runs the chunks.
"""

from __future__ import annotations

from rtreg.batch.job import CHUNK, Summary, batch

__all__ = ["CHUNK", "Summary", "batch"]
