"""`adloom register` in a new folder: two at the same moment, and one that is interrupted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.conftest import MakeTable
from tests.support import copywriters, shop

from adloom.context import StageContext
from adloom.stages import evaluate

REGISTER = [
    *(
        str(Path(sys.executable).parent / "adloom"),
        "register",
        "--model",
        "models/lstm",
        "--table",
        "data/dataset/copy",
    ),
    *("--judge", "models/lstm", "--report", "reports/lstm"),
]
QUIET = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")} | {"CI": "true"}
PATIENCE = 300  # seconds


@pytest.fixture
def folder(tmp_path: Path, make_table: MakeTable, context: StageContext) -> Path:
    """A project with a trained and evaluated copywriter, and no MLflow yet."""
    table, model = make_table("copy", copywriters.copy_rows()), copywriters.copywriter(tmp_path / "models" / "lstm")
    outputs = evaluate.Outputs(tmp_path / "reports" / "lstm")
    evaluate.run(evaluate.Inputs(model, table, model), outputs, copywriters.EVALUATE, context)
    shop.write_params(tmp_path, copywriters.params().model_dump(mode="json", by_alias=True))
    return tmp_path


def start(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(REGISTER, cwd=folder, env=QUIET, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def interrupt(folder: Path, how: signal.Signals) -> None:
    """End a command while it creates the database."""
    register = start(folder)
    while not list(folder.glob("mlflow.db.new*")):
        assert register.poll() is None, register.communicate()
        time.sleep(0.001)  # between two looks; what is waited for is the file
    register.send_signal(how)
    register.communicate(timeout=PATIENCE)
    assert register.returncode == (130 if how is signal.SIGINT else -how)
    assert not (folder / "mlflow.db").exists()


def test_after_interrupted_ones_two_at_the_same_moment_register_one_version(folder: Path) -> None:
    for how in (signal.SIGINT, signal.SIGKILL):
        interrupt(folder, how)
    both = [start(folder), start(folder)]
    for register in both:
        output, error = register.communicate(timeout=PATIENCE)
        assert (register.returncode, error) == (0, "")
        assert output.split()[:6] == ["lstm.verdict", "promote", "lstm.version", "1", "lstm.champion", "1"]
