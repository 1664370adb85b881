"""The OpenAPI document, generated from the validating schemas."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from adloom import __version__
from adloom.serving.api import decide_schemas, problems
from adloom.serving.api.decide_schemas import Message
from adloom.serving.api.endpoints import Endpoint
from adloom.serving.api.problems import ProblemBody
from adloom.serving.api.schemas import Body, ModelList, Readiness

TEMPLATE = "#/components/schemas/{model}"
PROBLEMS = {
    400: "The body is not JSON.",
    401: "No token, or an unknown one.",
    403: "The token lacks the scope.",
    404: "The creative library has no creative of this id.",
    408: "The body took too long to arrive.",
    413: "The body is over the limit.",
    415: "The body is not application/json.",
    422: "A field is missing, unknown or outside its limits; `field` names it.",
    429: "Too many requests, in progress or of this token; Retry-After says when to try again.",
    503: "The model is not served; `detail` says why.",
}


def document(endpoints: Mapping[str, Endpoint]) -> dict[str, Any]:
    """Return the document of these endpoints and all pages."""
    types: set[type[BaseModel] | type[Message]] = {ModelList, Readiness, ProblemBody}
    types.update(body for e in endpoints.values() for body in (e.request, e.response) if body)
    bodies = sorted((body for body in types if issubclass(body, BaseModel)), key=lambda body: body.__name__)
    messages = decide_schemas.schemas([body for body in types if issubclass(body, Message)])
    _, schemas = models_json_schema([(body, "validation") for body in bodies], ref_template=TEMPLATE)
    return {
        "openapi": "3.1.0",
        "info": {"title": "adloom", "version": __version__},
        "paths": {**{e.path: {"post": _operation(e)} for e in endpoints.values()}, **_pages()},
        "components": {
            "schemas": {**messages, **schemas["$defs"]},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "operationId": endpoint.path.removeprefix("/v1/").replace("/", "_"),
        "summary": endpoint.summary,
        "description": f"A token needs the scope {' or '.join(sorted(endpoint.access))}.",
        "security": [{"bearer": []}],
        **({"requestBody": {"required": True, "content": _json(endpoint.request)}} if endpoint.request else {}),
        "responses": {"200": {"description": "Success.", "content": _json(endpoint.response)}, **_problems(PROBLEMS)},
    }


def _pages() -> dict[str, Any]:
    ready = _get_operation("Whether the service may get requests.", _json(Readiness))
    ready["responses"].update(_problems({503: "No model is served."}))
    pages = {
        "/v1/models": _get_operation("Models that serve, and why the others do not.", _json(ModelList)),
        "/livez": _get_operation("Whether the process is alive.", {"text/plain": {"schema": {"type": "string"}}}),
        "/readyz": ready,
        "/metrics": _get_operation("Metrics for Prometheus.", {"text/plain": {"schema": {"type": "string"}}}),
        "/openapi.json": _get_operation("This document.", {"application/json": {"schema": {"type": "object"}}}),
    }
    return {path: {"get": page} for path, page in pages.items()}


def _get_operation(summary: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": summary, "content": content}}}


def _problems(descriptions: dict[int, str]) -> dict[str, Any]:
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": TEMPLATE.format(model="ProblemBody")}}}
    return {str(status): {"description": text, "content": content} for status, text in descriptions.items()}


def _json(body: type[Body] | type[Message]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": TEMPLATE.format(model=body.__name__)}}}
