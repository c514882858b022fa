"""What can go wrong in an engine, by who has to act on it."""


class PlanError(ValueError):
    """A workflow cannot be compiled; the text says which part and why."""


class FrameError(ValueError):
    """The peer of the control socket broke the framing; nothing after it can be understood."""


class MalformedResponseError(Exception):
    """What came back is not one HTTP response."""
