"""The environment variables of AWS in this process."""

import os
from collections.abc import Mapping

import pytest


def replace_variables(values: Mapping[str, str], patch: pytest.MonkeyPatch) -> None:
    """Set variables, and remove all others of AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    for name, value in values.items():
        patch.setenv(name, value)
