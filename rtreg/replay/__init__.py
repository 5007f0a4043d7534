"""Lock-step replay: a recorded run of the tracker, done again frame by frame without sockets, and compared.

All that a tracker's engine saw is in a recording as data: frames, and the events that say which of them were used,
when, and what was ordered in between. The same events on the same state give the same corrections, to the last bit on
the same machine with the same versions.
"""

from rtreg.replay.compare import Comparison, Difference, verify
from rtreg.replay.rerun import Rerun, Step, recorded_config
from rtreg.replay.sidebyside import SideBySide

__all__ = ["Comparison", "Difference", "Rerun", "SideBySide", "Step", "recorded_config", "verify"]
