"""Turn alarms of drift into one request for a retraining; MLflow remembers it across restarts."""

import logging
from datetime import UTC, datetime, timedelta

import requests

from adloom.config.drift import Drift
from adloom.config.settings import Settings
from adloom.connection_errors import describe_error
from adloom.errors import ConfigError, UnavailableError
from adloom.tracking.base import Tracker

REQUESTED = "retraining_requested_at"  # tag of the run in MLflow
TIMEOUT = 60  # seconds; the trigger server scans the sources meanwhile
MAX_REASON = 200  # characters that the trigger server takes
NO_ALARM, NO_SERVER = "not needed", "ADLOOM_TRIGGER_URL: not set; `adloom submit training` retrains by hand"

logger = logging.getLogger(__name__)


def request_retraining(reason: str, params: Drift, settings: Settings, tracker: Tracker) -> str:
    """
    Ask the trigger server for a training unless it was asked within the cool-down; return in one line what was done.

    The reason is a tag of a run in MLflow. Raises UnavailableError when MLflow or the server does not answer.
    """
    if not reason:
        return NO_ALARM
    now, last = datetime.now(UTC), tracker.find_newest_tag(REQUESTED)
    if last and datetime.fromisoformat(last) + timedelta(hours=params.cooldown_hours) > now:
        return f"already requested at {last}; the next request is possible after drift.cooldown_hours"
    tags = {"drift": reason, REQUESTED: now.isoformat(timespec="seconds")}
    if not settings.trigger_url:
        tags.pop(REQUESTED)
        outcome = NO_SERVER
    else:
        outcome = _post(settings, reason)
    with tracker.start_run("drift", {}, tags | {"retraining": outcome}):
        return outcome


def _post(settings: Settings, reason: str) -> str:
    """Return the trigger server's note."""
    url = settings.trigger_url or ""
    token = {"Authorization": f"Bearer {settings.token.get_secret_value()}"} if settings.token else {}
    message = {"pipeline": "training", "reason": f"drift: {reason}"[:MAX_REASON]}
    try:
        response = requests.post(url, json=message, headers=token, timeout=TIMEOUT)
    except (requests.RequestException, ValueError) as error:
        raise UnavailableError(
            f"ADLOOM_TRIGGER_URL={url}: {describe_error(error, url)}; nothing was requested"
        ) from None
    if response.status_code in (401, 403):
        raise ConfigError(f"ADLOOM_TRIGGER_URL={url}: refused; set ADLOOM_TOKEN to a token of scope trigger")
    if not response.ok:
        raise UnavailableError(f"ADLOOM_TRIGGER_URL={url}: HTTP status {response.status_code}; nothing was requested")
    return str(response.json()["note"])
