"""What comes at open ports: junk connections, subscription bombs, messages that are huge or nest without end."""

from __future__ import annotations

import contextlib
import os
import socket
import struct

import msgpack
import zmq

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" * 32  # ZMTP 3.0, no security
CLAIM = GREETING + b"\x02" + struct.pack(">Q", 2**62)


def port(endpoint):
    return int(endpoint.rpartition(":")[2])


class Junk:
    """Connections that say nothing, noise, HTTP, half a greeting, or that a frame of 2**62 bytes follows."""

    def __init__(self):
        self._open = []

    def connect(self, endpoint, count):
        """Open `count` more."""
        words = (b"", os.urandom(200), b"GET / HTTP/1.1\r\n\r\n", GREETING[:20], CLAIM)
        for index in range(count):
            with contextlib.suppress(OSError):
                end = socket.create_connection(("127.0.0.1", port(endpoint)), timeout=2)
                self._open.append(end)
                end.sendall(words[index % len(words)])

    def close(self):
        for end in self._open:
            end.close()


def subscription_bomb(endpoint, peers, topics):
    """Subscribe to random topics from `peers` sockets, `topics` each; returns the sockets."""
    bombs = []
    for _ in range(peers):
        bomb = zmq.Context.instance().socket(zmq.SUB)
        bomb.linger, bomb.sndhwm = 0, 0
        bomb.connect(endpoint)
        for _ in range(topics):
            bomb.subscribe(os.urandom(100))
        bombs.append(bomb)
    return bombs


def nested(depth):
    """A MessagePack map whose lists nest `depth` deep."""
    return b"\x81\xa1v" + b"\x91" * depth + b"\x01"


def bad_frames(stream, epoch, seq):
    """Frame messages that break the protocol, one a kind: (parts, reason, whether they tell which frame they are)."""
    header = {"v": 1, "kind": "frame", "stream": stream, "epoch": epoch, "seq": seq, "t_ns": 0}
    header |= {"shape": [2, 2], "dtype": "|u1"}
    topic = f"f/{stream}/".encode()

    def frame(pixels=b"xxxx", **changes):
        return [topic, msgpack.packb({**header, **changes}), pixels]

    return [
        ([topic, nested(100_000), b"x"], "header", False),
        ([topic, nested(20), b"x"], "header", False),
        ([topic, b"\xdf\xff\xff\xff\xff", b"x"], "header", False),  # a map of four thousand million entries
        ([topic, b"\xc1", b"x"], "header", False),
        ([topic, b"x"], "parts", False),
        (frame(v=7), "version", False),
        (frame(shape=[16384, 16384]), "size", True),  # a claim
        (frame(bytes(128 * 16384), shape=[128, 16384], seq=seq + 3), "too_large", True),
        (frame(b"xxx", seq=seq + 1), "size", True),
        (frame(dtype="|O8", seq=seq + 2), "dtype", True),
    ]


def memory(pid):
    """Resident bytes of a process."""
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")
