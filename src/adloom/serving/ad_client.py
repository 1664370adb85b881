"""A client of a service, as an ad server is: decisions and feedback over one connection."""

import http.client
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlsplit

from adloom.connection_errors import describe_error
from adloom.errors import (
    AuthenticationError,
    ConfigError,
    ExternalServiceError,
    PermissionDeniedError,
    UnavailableError,
)
from adloom.serving.api.decide_schemas import DECIDE, FEEDBACK
from adloom.world.playing import Decision, RequestBody

TIMEOUT = 30  # seconds for an answer
CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
TOKEN_ADVICE = "set ADLOOM_TOKEN to a token with the scopes decide and feedback; `adloom token` makes one"  # noqa: S105


@dataclass
class AdClient:
    """A connection to a service; close it at the end."""

    url: str
    token: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in CONNECTIONS or not parts.hostname:
            raise ConfigError(f"{self.url}: expected the URL of a service, such as http://localhost:3000")
        self._path = parts.path.rstrip("/")
        self._connection = CONNECTIONS[parts.scheme](parts.hostname, parts.port, timeout=TIMEOUT)
        self._headers = {"Content-Type": "application/json"}
        if self.token:
            if not (self.token.isascii() and self.token.isprintable()):
                raise ConfigError(f"ADLOOM_TOKEN: expected printable ASCII; {TOKEN_ADVICE}")
            self._headers["Authorization"] = f"Bearer {self.token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def decide(self, body: RequestBody) -> Decision:
        """Return the decision for a request; a holdout has no creatives."""
        answer = self._post(DECIDE, body)
        chosen: dict[str, Any] = next(iter(answer["creatives"]), {"creative_id": None, "probability": 1.0})
        policy = answer["policy"]["digest"] if answer["policy"] else None
        return Decision(answer["decision_id"], chosen["creative_id"], chosen["probability"], answer["tier"], policy)

    def send_feedback(self, body: RequestBody) -> None:
        """Report a click, a conversion or a complaint."""
        self._post(FEEDBACK, body)

    def _post(self, path: str, body: RequestBody) -> dict[str, Any]:
        """Return the answer to a POST. Raises ExternalServiceError, AuthenticationError, PermissionDeniedError."""
        try:
            response = self._exchange(path, json.dumps(body))
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException) as error:
            reason = describe_error(error, self.url)
            raise UnavailableError(f"{self.url}: {reason}; is the service running? `adloom serve` starts one") from None
        except json.JSONDecodeError:
            raise ExternalServiceError(
                f"{self.url}: {response.status}, and no JSON; is it a service of adloom?"
            ) from None
        if response.status != HTTPStatus.OK:
            self._raise_problem(path, response.status, str(answer.get("detail")))
        return answer

    def _exchange(self, path: str, body: str) -> Any:
        """Return the response, on a second connection if the service closed the first one."""
        try:
            self._connection.request("POST", self._path + path, body, self._headers)
            return self._connection.getresponse()
        except ConnectionError:
            self._connection.close()
            self._connection.request("POST", self._path + path, body, self._headers)
            return self._connection.getresponse()

    def _raise_problem(self, path: str, status: int, detail: str) -> None:
        message = f"{self.url}{path}: {status} {detail}"
        if status == HTTPStatus.UNAUTHORIZED:
            raise AuthenticationError(f"{message}; {TOKEN_ADVICE}")
        if status == HTTPStatus.FORBIDDEN:
            raise PermissionDeniedError(f"{message}; {TOKEN_ADVICE}")
        raise ExternalServiceError(message)
