"""What can go wrong with a local cluster."""


class NodeStartError(Exception):
    """A process of a local cluster did not become ready.

    ``exit_code`` is None when it runs but did not become ready in time.
    """

    def __init__(self, node_id: str, exit_code: int | None, log_tail: str) -> None:
        self.exit_code = exit_code
        ended = f"ended with exit code {exit_code}" if exit_code is not None else "was not ready in time"
        super().__init__(f"{node_id} {ended}; the end of its log:\n{log_tail or '(its log is empty)'}")


class StateError(Exception):
    """The state directory cannot be used as asked."""
