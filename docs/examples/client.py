"""
Ask adloom for a decision, report a click, and ask for recommendations. Needs Python 3.11 and nothing else.

TOKEN=… python client.py http://localhost:3000
"""

import http.client
import json
import os
import sys
from urllib.parse import urlsplit

ADDRESS = urlsplit(sys.argv[1])
CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
TOKEN = os.environ.get("TOKEN", "none")
HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
# Seconds for one request, the network included.
DEADLINE = float(os.environ.get("DEADLINE_MS", "200")) / 1000
DEFAULT = "house-advertisement"  # shown when adloom does not answer in time

# Keep the connection open: a new one for each request costs more than the decision.
connection = CONNECTIONS[ADDRESS.scheme](ADDRESS.netloc, timeout=DEADLINE)


def post(path: str, body: dict) -> dict:
    """Send a request and return the answer. Raises OSError or HTTPException when there is none."""
    connection.request("POST", path, json.dumps(body), HEADERS)
    response = connection.getresponse()
    answer = json.loads(response.read())
    if response.status != 200:  # a problem; `detail` says what is wrong
        raise OSError(f"{path}: {response.status} {answer['detail']}")
    return answer


def decide(candidates: list[str]) -> tuple[str, str | None]:
    """Return the creative to show and the id of the decision, None for the default."""
    body = {"placement": "top", "user_id": "00001", "candidates": candidates}
    body["tmax_ms"] = 100  # the service answers within this time
    try:
        answer = post("/v1/decide", body)
    except (OSError, http.client.HTTPException) as error:
        connection.close()  # the next request opens a new one
        print(f"default: {error}", file=sys.stderr)
        return DEFAULT, None
    return answer["creatives"][0]["creative_id"], answer["decision_id"]


def recommend(recent: list[str]) -> list[str]:
    """Return items for a user, best first; none when adloom does not answer in time."""
    body = {"user_id": "00001", "recent": recent, "n": 3, "tmax_ms": 100}
    try:
        return post("/v1/recommend", body)["items"]
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        print(f"no recommendations: {error}", file=sys.stderr)
        return []


creative, decision = decide(["creative-1", "creative-2"])
print(f"show {creative}")
if decision:  # the user clicked; equal feedback may be sent again, it counts once
    click = {"decision_id": decision, "creative_id": creative, "kind": "click"}
    post("/v1/feedback", click)
    print(f"clicked {creative}")

print("recommend", *recommend(recent=["item-a"]))
