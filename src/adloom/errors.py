"""
The family of errors.

AdloomError                         exit 1: a failure that the user did not cause
├── ExternalServiceError            a store, tracker or registry failed
│   └── UnavailableError            it did not respond
└── UserError                       exit 2: the user can fix it
    ├── ConfigError                 params.yaml or the environment is invalid
    │   ├── AuthenticationError     a key or token is missing or rejected
    │   └── PermissionDeniedError   a valid key or token lacks a permission
    ├── DataError                   the data is invalid
    ├── ArtifactError               an artifact is missing, incomplete or modified
    └── LockedError                 another run holds a required lock

A message is one line: the thing, its value, what was expected, the next step.
"""

UNEXPECTED = "unexpected "  # prefix of the line of an error outside this family


class WorkerExit(Exception):  # noqa: N818 - ends a process, not a failure
    """Raised on non-zero ranks to end the process; not a failure."""


class AdloomError(Exception):
    """A failure that the user did not cause; exit code 1."""

    exit_code = 1


class ExternalServiceError(AdloomError):
    """A store, tracker or registry failed."""

    is_final = False  # True: no retries are left


class UnavailableError(ExternalServiceError):
    """A service did not respond."""


class UserError(AdloomError):
    """A failure that the user can fix; exit code 2."""

    exit_code = 2


class ConfigError(UserError):
    """params.yaml or the environment is invalid."""


class AuthenticationError(ConfigError):
    """A key or token is missing or rejected."""


class PermissionDeniedError(ConfigError):
    """A valid key or token lacks a permission."""


class DataError(UserError):
    """The data is invalid."""


class ArtifactError(UserError):
    """An artifact is missing, incomplete or modified."""


class LockedError(UserError):
    """Another run holds a required lock."""
