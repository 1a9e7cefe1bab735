"""What the commands of `tollgate` do. They may know the adapters, since they start and stop them."""


class CommandFailed(Exception):
    """A command cannot do what it was asked to; the message is one line for the person who typed it, `status` the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
