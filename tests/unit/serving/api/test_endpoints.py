"""Every endpoint refuses fields that its schema does not have."""

from typing import Any

import pytest
from pydantic import ValidationError

from adloom.serving.api.endpoints import ENDPOINTS
from adloom.serving.api.schemas import Body


@pytest.mark.parametrize("path", [path for path, e in ENDPOINTS.items() if e.request and issubclass(e.request, Body)])
def test_unknown_fields_are_refused(path: str) -> None:
    schema: Any = ENDPOINTS[path].request
    with pytest.raises(ValidationError) as raised:
        schema.model_validate_json('{"unknown": 1}')
    assert {"unknown"} in [set(error["loc"]) for error in raised.value.errors() if error["type"] == "extra_forbidden"]
