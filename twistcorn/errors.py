"""The errors of twistcorn: each says whose fault it is and carries its answer.

Law: an error raised towards an operator carries an exit code and one clear message; an error raised
towards a client carries an HTTP status. Nothing here logs, prints or exits.
"""

from __future__ import annotations

#: Exit codes, in one place. 1 and 3 are Gunicorn's, 64 is EX_USAGE of sysexits(3), which `twist` uses too.
EXIT_ADDRESS = 1
EXIT_BOOT = 3
EXIT_USAGE = 64
#: EX_UNAVAILABLE of sysexits(3): a command finds no server.
EXIT_UNAVAILABLE = 69
#: EX_SOFTWARE of sysexits(3): a worker found itself broken, by a running request; and by one that may be over.
EXIT_DEAF = 70
EXIT_DEAF_SINCE = 71


class TwistcornError(Exception):
    """The base of every error that is meant to be read by the operator.

    :ivar exit_code: the exit code when the error ends the process.
    """

    exit_code = 1


class SettingsError(TwistcornError):
    """The operator's: an option has an invalid value. The message names option, value and what is expected."""

    exit_code = EXIT_USAGE


class AddressError(TwistcornError):
    """The operator's: a listening address is taken, forbidden or malformed."""

    exit_code = EXIT_ADDRESS


class AppLoadError(TwistcornError):
    """The application's: it cannot be found or imported. The message is complete, with hints, several lines."""

    exit_code = EXIT_BOOT


class BootError(TwistcornError):
    """No worker ever got ready: the message says why the first one did not."""

    exit_code = EXIT_BOOT


class OperationError(TwistcornError):
    """The operator's: a running server cannot carry out a command. Nothing was changed.

    :ivar detail: further lines, such as why new code fails to boot.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class UnreachableError(TwistcornError):
    """The operator's: no server listens on the control socket."""

    exit_code = EXIT_UNAVAILABLE


class HTTPError(Exception):
    """The client's: a request that is refused.

    :ivar status: the HTTP status code of the refusal (RFC 9110 section 15).
    :ivar reason: why, in a few words for the log.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


class RequestTimeout(BaseException):
    """The application's: its time for a request is over. Raised in its thread, wherever that is.

    Not an `Exception`, so that an error handler of the application does not turn it into a response; uncaught, it
    becomes a 504. Caught, it leaves the application one second to finish.
    """
