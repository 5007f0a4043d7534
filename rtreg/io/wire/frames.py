"""A frame as it arrives: on the path of every one, so the quick way first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from rtreg.errors import WireError
from rtreg.io.wire.bodies import DTYPES, HEADER_BYTES, MAX_FRAME_BYTES, Buffer, FrameHeader, Identity
from rtreg.io.wire.maps import check_parts, check_topic, convert, unpack_map
from rtreg.records import Frame, Shift

# Straight into the typed header: a third of the time of unpacking a map first, and frames come fast. It makes no
# object of what it does not know, so that only the size of the header limits what it can be made to do.
_DECODER: Final = msgspec.msgpack.Decoder(FrameHeader)


def _header(part: Buffer) -> FrameHeader:
    """The typed header; what is wrong with one that does not fit is found out on the slow way."""
    if len(part) <= HEADER_BYTES:
        try:  # not contextlib.suppress: this is the frame path
            return _DECODER.decode(part)
        except (msgspec.MsgspecError, ValueError, RecursionError):  # the last: a bomb of nested maps
            pass
    return convert(unpack_map(part), FrameHeader)


def _check_constants(header: FrameHeader, identity: Identity) -> None:
    """Each constant may be by itself (the header's types say so); saturation must also lie above the offset."""
    if header.saturation is not None and not header.saturation > (header.offset or 0.0):
        message = f"saturation {header.saturation} ADU must lie above offset {header.offset or 0.0} ADU"
        raise WireError("constants", message, identity)


def _pixels(payload: Buffer, header: FrameHeader, max_bytes: int) -> npt.NDArray[Any]:
    """The payload as a read-only (ny, nx) view: native byte order, aligned; a copy only where it must be."""
    dtype = DTYPES.get(header.dtype)
    identity = (header.epoch, header.seq)
    if len(payload) > max_bytes:
        raise WireError("too_large", f"{len(payload)} bytes of pixels; at most {max_bytes} are accepted", identity)
    if dtype is None:
        raise WireError("dtype", f"dtype {header.dtype[:20]!r} is not one of {' '.join(DTYPES)}", identity)
    ny, nx = header.shape
    if len(payload) != ny * nx * dtype.itemsize:
        expected = f"{ny} x {nx} x {dtype.itemsize} = {ny * nx * dtype.itemsize}"
        raise WireError("size", f"{len(payload)} bytes of pixels; {expected} were announced", identity)
    pixels: npt.NDArray[Any] = np.ndarray((ny, nx), dtype, payload)
    # libzmq hands out messages of a few KiB at any address of its receive buffer: compiled kernels need alignment.
    if not (dtype.isnative and pixels.flags.aligned):
        pixels = pixels.astype(dtype.newbyteorder("="))
    pixels.setflags(write=False)
    return pixels


def unpack_frame(
    parts: Sequence[Buffer],
    recv_mono_ns: int = 0,
    *,
    max_bytes: int = MAX_FRAME_BYTES,
    fetch: Callable[[Buffer, Identity], Buffer] | None = None,
) -> Frame:
    """A frame from its three parts; the pixels are a view of the third, kept alive by it.

    `fetch` turns the third part into the pixels' bytes where it stands for them, as in shared memory.

    Raises
    ------
    WireError
        reason "parts", "header", "version", "kind", "stream", "dtype", "shape", "size", "too_large" (more than
        `max_bytes` of pixels) or "constants" (of a detector that cannot be); `identity` is the (epoch, seq) if the
        header could still tell it.
    """
    check_parts(parts, 3)
    header = _header(parts[1])
    identity = (header.epoch, header.seq)
    check_topic(parts[0], "f", header.stream, identity)
    _check_constants(header, identity)
    return Frame(
        pixels=_pixels(parts[2] if fetch is None else fetch(parts[2], identity), header, max_bytes),
        stream=header.stream,
        epoch=header.epoch,
        seq=header.seq,
        t_ns=header.t_ns,
        exp_ns=header.exp_ns,
        mono_ns=header.mono_ns,
        host=header.host,
        roi=header.roi,
        bin=header.bin,
        gain=header.gain,
        read_noise=header.read_noise,
        offset=header.offset,
        saturation=header.saturation,
        truth=None if header.truth is None else Shift(*header.truth),
        moved=header.moved,
        recv_mono_ns=recv_mono_ns,
    )
