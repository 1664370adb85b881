"""The one OpenAPI document of every path, made from the schemas that requests are checked against."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from adloom import __version__
from adloom.serving.api import decide_schemas, problems
from adloom.serving.api.decide_schemas import Message
from adloom.serving.api.problems import ProblemBody
from adloom.serving.api.schemas import Body, Endpoint, ModelList, Readiness

TEMPLATE = "#/components/schemas/{model}"
PROBLEMS = {
    400: "The body is not JSON.",
    401: "No token, or not one that is known.",
    403: "The token may not do this.",
    408: "The body took too long to come.",
    413: "The body is over the limit.",
    415: "The body is not application/json.",
    422: "A field is missing, unknown or out of its limits; `field` names it.",
    429: "Too many requests, in progress or of this token; Retry-After says when to try again.",
    503: "The model is not served; `detail` says why.",
}


def document(endpoints: Mapping[str, Endpoint]) -> dict[str, Any]:
    """Return OpenAPI 3.1 of these endpoints and of the pages every service has."""
    chosen = endpoints.values()
    known: set[type[BaseModel] | type[Message]] = {ModelList, Readiness, ProblemBody}
    known.update(body for e in chosen for body in (e.asked, e.answer) if body)
    bodies = sorted((body for body in known if issubclass(body, BaseModel)), key=lambda body: body.__name__)
    fast = decide_schemas.schemas([body for body in known if issubclass(body, Message)])
    _, schemas = models_json_schema([(body, "validation") for body in bodies], ref_template=TEMPLATE)
    return {
        "openapi": "3.1.0",
        "info": {"title": "adloom", "version": __version__},
        "paths": {**{e.path: {"post": _operation(e)} for e in chosen}, **_pages()},
        "components": {
            "schemas": {**fast, **schemas["$defs"]},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "operationId": endpoint.path.removeprefix("/v1/").replace("/", "_"),
        "summary": endpoint.summary,
        "description": f"A token needs the scope {endpoint.access}.",
        "security": [{"bearer": []}],
        **({"requestBody": {"required": True, "content": _json(endpoint.asked)}} if endpoint.asked else {}),
        "responses": {"200": {"description": "Answered.", "content": _json(endpoint.answer)}, **_problems(PROBLEMS)},
    }


def _pages() -> dict[str, Any]:
    ready = _page("Whether requests may be sent.", _json(Readiness))
    ready["responses"].update(_problems({503: "No model is served."}))
    pages = {
        "/v1/models": _page("What is served, and why the rest is not.", _json(ModelList)),
        "/livez": _page("Whether the process lives.", {"text/plain": {"schema": {"type": "string"}}}),
        "/readyz": ready,
        "/metrics": _page("Counts and times for Prometheus.", {"text/plain": {"schema": {"type": "string"}}}),
        "/openapi.json": _page("This document.", {"application/json": {"schema": {"type": "object"}}}),
    }
    return {path: {"get": page} for path, page in pages.items()}


def _page(summary: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": summary, "content": content}}}


def _problems(described: dict[int, str]) -> dict[str, Any]:
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": TEMPLATE.format(model="ProblemBody")}}}
    return {str(status): {"description": text, "content": content} for status, text in described.items()}


def _json(body: type[Body] | type[Message]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": TEMPLATE.format(model=body.__name__)}}}
