"""Errors a user can cause, and the exit codes they end with.

    EdgeRetrainError            1   failed
    ├── UsageError              2   an option or argument that makes no sense
    ├── DataError               3   photos, a data set or a model file that cannot be used
    ├── QualityError            4   a result that a check refuses to ship
    └── EnvironmentFailure      5   a module, the network, a disk or a package that is not there
    (click.UsageError           2   raised by click itself for malformed command lines)
    (KeyboardInterrupt        130)

Every message is one line: what was expected, what was found, what to do.
"""

from __future__ import annotations

INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM."""


class EdgeRetrainError(Exception):
    """Any failure that is explained in one line; `exit_code` is what the command ends with."""

    exit_code = 1


class UsageError(EdgeRetrainError):
    """Options that contradict each other or name something that does not exist."""

    exit_code = 2


class DataError(EdgeRetrainError):
    """Photos, a data set or a model file that cannot be used."""

    exit_code = 3


class QualityError(EdgeRetrainError):
    """A check refuses the result; nothing was exported."""

    exit_code = 4


class EnvironmentFailure(EdgeRetrainError):  # noqa: N818 (EnvironmentError is a builtin)
    """A module, the network, a disk or an optional package is not available."""

    exit_code = 5
