"""What can go wrong.

ClickstreamError            exit 1; a sentence for the user, and what to do next
├── UsageError              exit 2; the command line or the configuration is wrong
├── NotRunning              something the command needs is not there
├── ServiceFailed           a child process died, or was not ready in time
├── BadInput                a log, a file or an argument's content cannot be taken
└── NoData                  the question is fine, but there is nothing to answer it from
"""


class ClickstreamError(Exception):
    """Something failed.

    `message` is one sentence without a full stop; `hint` says what to do next.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ClickstreamError):
    """The command line or the configuration is wrong."""

    exit_code = 2


class NotRunning(ClickstreamError):
    """A service or agent that the command needs is not running."""


class ServiceFailed(ClickstreamError):
    """A child process died, or was not ready in time."""


class BadInput(ClickstreamError):
    """A log or file cannot be taken as it is."""


class NoData(ClickstreamError):
    """There is nothing to answer from."""


def no_line_yet() -> NoData:
    """The error of a speed layer that has counted nothing."""
    return NoData("the speed layer has seen no line yet", "run it: clickstream speed run")
