#!/usr/bin/env python3
"""Write the secrets of k8s/overlays/dev once: random, readable only by their owner, ignored by git."""

import hashlib
import json
import os
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "k8s" / "overlays" / "dev"


def user(name: str, key: str, secret: str) -> dict[str, object]:
    """Return a SeaweedFS identity with access only to the bucket of its own name."""
    actions = [f"{action}:{name}" for action in ("Read", "Write", "List", "Tagging")]
    return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}


def create_secrets() -> dict[str, str]:
    """Return {file: content}."""
    own, mlflow = secrets.token_hex(32), secrets.token_hex(32)
    password, token = secrets.token_hex(32), secrets.token_urlsafe(32)
    users = [user("adloom", "adloom", own), user("mlflow", "mlflow", mlflow)]
    database = f"postgresql+psycopg://mlflow:{password}@adloom-postgres:5432/mlflow?connect_timeout=5"
    return {
        "adloom.env": _lines(
            AWS_ACCESS_KEY_ID="adloom",
            AWS_SECRET_ACCESS_KEY=own,
            ADLOOM_PSEUDONYM_KEY=secrets.token_hex(32),
            ADLOOM_LIBRARY_URL=database,  # its tables begin with library_
        ),
        "adloom-mlflow.env": _lines(
            MLFLOW_BACKEND_STORE_URI=database, AWS_ACCESS_KEY_ID="mlflow", AWS_SECRET_ACCESS_KEY=mlflow
        ),
        "adloom-postgres.env": _lines(POSTGRES_PASSWORD=password),
        "token.txt": f"{token}\n",  # for clients; the services store only its hash
        "tokens": f"dev decide,feedback,trigger,admin sha256:{hashlib.sha256(token.encode()).hexdigest()}\n",
        "s3.json": json.dumps({"identities": users}, indent=1) + "\n",
    }


def _lines(**values: str) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def main() -> None:
    """Write all files, or none if one exists, because they belong together."""
    texts = create_secrets()
    there = [str(FOLDER / name) for name in texts if (FOLDER / name).exists()]
    if len(there) == len(texts):
        print(f"dev_secrets: {FOLDER} has its secrets, which stay as they are")
        return
    if there:
        sys.exit(f"dev_secrets: {', '.join(there)} exist without the others, which belong to them; move them away")
    for name, text in texts.items():
        with open(FOLDER / name, "x", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(text)
    print(f"dev_secrets: wrote {', '.join(texts)} into {FOLDER}")


if __name__ == "__main__":
    main()
