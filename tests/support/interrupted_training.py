"""Trainings that somebody ends by Ctrl-C."""

from collections.abc import Callable
from typing import Any

import pytest


def interrupt(
    monkeypatch: pytest.MonkeyPatch, module: type[Any], at: tuple[int, int], train: Callable[[], Any]
) -> None:
    """Start a training that is interrupted `at` an epoch and a batch of the module."""
    step = module.training_step

    def interrupted(self: Any, batch: object, number: int) -> Any:
        if (self.current_epoch, number) == at:
            raise KeyboardInterrupt
        return step(self, batch, number)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "training_step", interrupted)
        train()
