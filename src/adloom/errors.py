"""
The family of errors: what went wrong, and who can mend it.

AdloomError                 exit 1: something failed that the user did not cause
├── OutsideError            a store, tracker or registry did not do what was asked
│   └── NoAnswerError       it did not answer at all
└── UserError               exit 2: the user can mend it
    ├── ParamsError         params.yaml or the environment is wrong
    │   ├── RefusedError    a key or token is missing, or is not accepted
    │   └── DeniedError     it is accepted, and may not do this
    ├── DataError           the data is wrong
    ├── ArtifactError       a folder a stage wrote is missing, half-copied or changed
    └── BusyError           another run holds what this one needs

Every message is one line: the thing, its value, what was expected, the next step.
"""


class DismissedError(Exception):
    """No error: this process has helped others to train, and what follows is the first one's work."""


class AdloomError(Exception):
    """Something failed that the user did not cause."""

    exit_code = 1


class OutsideError(AdloomError):
    """A store, tracker or registry did not do what was asked."""

    is_final = False  # a retry policy has used up its attempts


class NoAnswerError(OutsideError):
    """A store, tracker or registry did not answer at all."""


class UserError(AdloomError):
    """Something the user can mend."""

    exit_code = 2


class ParamsError(UserError):
    """params.yaml or the environment is wrong."""


class RefusedError(ParamsError):
    """A key or token is missing, or is not accepted."""


class DeniedError(ParamsError):
    """A key or token is accepted, and may not do this."""


class DataError(UserError):
    """The data is wrong."""


class ArtifactError(UserError):
    """A folder a stage wrote is missing, half-copied or changed."""


class BusyError(UserError):
    """Another run holds what this one needs."""
