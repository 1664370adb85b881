"""Problems: HTTP errors as `application/problem+json` (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from pydantic import BaseModel, Field, ValidationError
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class ProblemBody(BaseModel):
    """The body of an error."""

    type: str = Field("about:blank", description="Always about:blank.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong, and what was expected.")
    field: str | None = Field(None, description="The field that is wrong, if it is one.")


class Problem(Exception):  # noqa: N818 - the standard's term
    """A refused request, with the reason."""

    def __init__(
        self, status: HTTPStatus, detail: str, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.field = field
        self.headers = headers or {}

    def body(self) -> ProblemBody:
        """Return the body."""
        return ProblemBody(title=self.status.phrase, status=self.status, detail=self.detail, field=self.field)

    def content(self) -> bytes:
        """Return the body as JSON."""
        return orjson.dumps(self.body().model_dump(exclude_none=True))

    def response(self) -> Response:
        """Return the response."""
        return Response(self.content(), self.status, dict(self.headers), MEDIA_TYPE)


INTERNAL_ERROR = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something failed here; the service's log says what")


def from_validation(error: ValidationError) -> Problem:
    """Return the problem (400 or 422) of pydantic's first error."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return Problem(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {first['ctx']['error']}")
    field = ".".join(str(part) for part in first["loc"]) or None
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    message = first["msg"].removeprefix("Value error, ")
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{field or 'body'}: {message}{more}", field)


def unavailable(model: str, reason: str) -> Problem:
    """Return the problem of an absent model."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, f"model {model} is not served: {reason}", headers={"Retry-After": "60"}
    )
