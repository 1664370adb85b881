"""Exit codes of the family of errors, and the diagram of it."""

import pytest

from adloom import errors
from adloom.errors import AdloomError, UserError


def family(kind: type[AdloomError]) -> set[type[AdloomError]]:
    return {kind}.union(*(family(child) for child in kind.__subclasses__() if child.__module__ == errors.__name__))


@pytest.mark.parametrize("kind", sorted(family(AdloomError), key=repr))
def test_only_errors_that_the_user_can_fix_exit_with_2(kind: type[AdloomError]) -> None:
    assert kind.exit_code == (2 if issubclass(kind, UserError) else 1)


def test_the_diagram_has_the_whole_family() -> None:
    assert errors.__doc__ is not None
    drawn = {word for word in errors.__doc__.split() if word.endswith("Error")}
    assert drawn == {kind.__name__ for kind in family(AdloomError)}
