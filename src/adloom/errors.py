"""
The family of errors: what went wrong, and who can mend it.

AdloomError                 exit 1: something failed that the user did not cause
├── ExternalServiceError            a store, tracker or registry did not do what was asked
│   └── UnavailableError       it did not answer at all
└── UserError               exit 2: the user can mend it
    ├── ConfigError         params.yaml or the environment is wrong
    │   ├── AuthenticationError    a key or token is missing, or is not accepted
    │   └── PermissionDeniedError     it is accepted, and may not do this
    ├── DataError           the data is wrong
    ├── ArtifactError       a folder a stage wrote is missing, half-copied or changed
    └── LockedError           another run holds what this one needs

Every message is one line: the thing, its value, what was expected, the next step.
"""


class WorkerExit(Exception):  # noqa: N818 - ends a process, not a failure
    """Raised on non-zero ranks to end the process; not a failure."""


class AdloomError(Exception):
    """Something failed that the user did not cause."""

    exit_code = 1


class ExternalServiceError(AdloomError):
    """A store, tracker or registry did not do what was asked."""

    is_final = False  # a retry policy has used up its attempts


class UnavailableError(ExternalServiceError):
    """A store, tracker or registry did not answer at all."""


class UserError(AdloomError):
    """Something the user can mend."""

    exit_code = 2


class ConfigError(UserError):
    """params.yaml or the environment is wrong."""


class AuthenticationError(ConfigError):
    """A key or token is missing, or is not accepted."""


class PermissionDeniedError(ConfigError):
    """A key or token is accepted, and may not do this."""


class DataError(UserError):
    """The data is wrong."""


class ArtifactError(UserError):
    """A folder a stage wrote is missing, half-copied or changed."""


class LockedError(UserError):
    """Another run holds what this one needs."""
