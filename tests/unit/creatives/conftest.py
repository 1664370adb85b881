"""Fixtures of the picture models' tests."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    """Use one thread, because small nets gain nothing from more."""
    torch.set_num_threads(1)
