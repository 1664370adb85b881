"""The stand-in that the client tests share."""

from collections.abc import Iterator

import pytest
from tests.support import kfp_server
from tests.support.kfp_server import StandIn


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with kfp_server.serving() as stand_in:
        yield stand_in
