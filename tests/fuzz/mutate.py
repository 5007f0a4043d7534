"""Bad inputs made of good ones: the same for the same seed, without a fuzzer."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgpack

from fuzz.targets import join, split

_VALUES = (None, True, -1, 0, 2**63, 2**64 - 1, -(2**63), 1e400, float("nan"), -0.0, "", "x" * 5000, b"", b"\0" * 5000)
_DEEP = 2000


def mutations(good: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` bad inputs: bytes changed, cut, doubled, put together; maps with other values, keys and depths."""
    rng = random.Random(seed)
    for _ in range(count):
        data = rng.choice(good)
        for _ in range(rng.choice((1, 1, 2, 4))):
            data = rng.choice((_flip, _cut, _insert, _double, _maps, _maps))(data, rng)
        yield data


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8) if changed else 0):
        changed[rng.randrange(len(changed))] = rng.choice((0, 0x7F, 0x80, 0xC1, 0xDF, 0xFF, rng.randrange(256)))
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    begin, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:begin] + data[end:] if rng.random() < 0.5 else data[:end]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 4, 64))) + data[at:]


def _double(data: bytes, rng: random.Random) -> bytes:
    begin, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:end] + data[begin:]


def _maps(data: bytes, rng: random.Random) -> bytes:
    """The MessagePack map in it, if there is one, with a value, a key or a depth that is not right."""
    parts = split(data, 3)
    for index in (1, 0):
        head = parts if index else [data]
        try:
            body = msgpack.unpackb(head[index if index else 0])
        except (ValueError, msgpack.UnpackException, TypeError):
            continue
        if isinstance(body, dict) and body:
            key = rng.choice(list(body))
            match rng.randrange(4):
                case 0:
                    del body[key]
                case 1:
                    body[key] = rng.choice(_VALUES)
                case 2:
                    body[f"{key}x"] = body[key]
                case _:
                    body[key] = [[body[key]] * rng.choice((0, 1, 3, 5000))]
            packed = msgpack.packb(body)
            if rng.random() < 0.02:
                packed = b"\x81\xa1a" * _DEEP + b"\x01"
            return join([parts[0], packed, parts[2]]) if index else packed
    return data
