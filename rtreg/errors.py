"""The exceptions rtreg raises on purpose. Catch `RtregError` to catch them all."""


class RtregError(Exception):
    """Base of every error that rtreg raises on purpose; the message says what to do."""


class ConfigError(RtregError, ValueError):
    """A configuration file, key or option is wrong; the message names it and the valid ones."""


class FrameError(RtregError, ValueError):
    """An image cannot be used as it is: shape, dtype, or nothing but bad pixels."""


class WireError(RtregError):
    """A message from a socket breaks the wire protocol; `reason` is the counter it goes under.

    `identity` is the (epoch, seq) of the frame at fault, where its header could still tell it.
    """

    def __init__(self, reason: str, message: str, identity: tuple[int, int] | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.identity = identity


class RecordingError(RtregError):
    """A recording cannot be written, or what it holds cannot be read."""


class DeviceError(RtregError):
    """A camera, stage or mirror is missing or refused a command."""


class StaleCorrection(RtregError):
    """There is no correction that may be acted on.

    `reason` is "silent", "expired", "stale", "stopping" or "another host".
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
