"""An environment of nothing but what a test sets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import shop

from adloom.doctor.context import DoctorContext, read_context

MakeContext = Callable[..., DoctorContext]


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither variables nor files of whoever runs the tests."""
    for name in ("CI", "ADLOOM_QUIET", "KUBERNETES_SERVICE_HOST", "ADLOOM_HOME", "ADLOOM_SERVE_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("ADLOOM_PSEUDONYM_KEY", "ADLOOM_PSEUDONYM_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def make_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeContext:
    """Return a function that sets variables, writes the shop's params with some blocks changed, and looks at both."""

    def make(blocks: dict[str, Any] | None = None, **variables: str) -> DoctorContext:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return read_context(shop.write_params(tmp_path, shop.params() | (blocks or {})))

    return make
