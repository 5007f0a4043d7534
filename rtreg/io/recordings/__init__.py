"""Recordings: the wire's messages as they were, in MCAP files. Writing, reading, and what to do about damaged ones.

MCAP (https://mcap.dev) is an open container for time-stamped messages: append-only, in chunks with a checksum each,
indexed, with readers in many languages. A channel is a topic of the wire, a message what was sent under it: the
MessagePack map, then the pixels of a frame, as they travelled. A file tells with its attachments what it was made
with (``config.toml`` and the images that it names) and in its metadata on what.
"""

from rtreg.io.recordings.layout import Item
from rtreg.io.recordings.reader import Recording
from rtreg.io.recordings.writer import RecordingWriter

__all__ = ["Item", "Recording", "RecordingWriter"]
