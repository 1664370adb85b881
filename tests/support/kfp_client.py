"""A client of the KFP stand-in that gives up soon, and a run that it can start."""

import json
from typing import Any

from tests.support.kfp_server import ARGUMENTS, PIPELINE

from adloom.config.settings import Settings
from adloom.kubeflow.client.api import Timeouts
from adloom.kubeflow.client.base import RunRequest
from adloom.kubeflow.client.http import HttpKubeflowClient

DIGEST = "d" * 64
HASTE = Timeouts(connect=0.2, read=0.2, start=0.4, backoff=0.02, retry_after=0)
STATUS = json.dumps({"code": 13, "message": "Internal:\n the database\tis gone", "details": []})


def server(url: str, **settings: Any) -> HttpKubeflowClient:
    return HttpKubeflowClient(Settings(ADLOOM_KFP_ENDPOINT=url, **settings), HASTE)


def order(of: HttpKubeflowClient) -> RunRequest:
    version = of.upload_pipeline("shop-training", DIGEST, PIPELINE)
    return RunRequest("shop-training", "a title", version, ARGUMENTS, "by hand")
