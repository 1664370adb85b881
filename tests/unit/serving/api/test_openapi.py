"""The OpenAPI document has every endpoint of a service."""

from starlette.testclient import TestClient

from adloom.serving import app as decide_app
from adloom.serving.api.endpoints import ENDPOINTS
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys

DEPENDENCIES = decide_app.ServiceDependencies(PseudonymKeys(None))


def test_openapi_describes_what_is_there(client: TestClient, models: Models) -> None:
    whole = client.get("/openapi.json").json()
    assert set(ENDPOINTS) < set(whole["paths"])
    generate = whole["components"]["schemas"]["GenerateRequest"]
    assert generate["additionalProperties"] is False
    assert generate["properties"]["n"]["maximum"] == 64
    assert client.get("/docs.json").json() == whole
    alone = TestClient(decide_app.create_decide_app(models, DEPENDENCIES)).get("/openapi.json").json()
    assert set(alone["paths"]) & set(ENDPOINTS) == set(decide_app.DECIDE_ENDPOINTS)
