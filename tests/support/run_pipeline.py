"""
Run pipeline.yaml with arguments.json in the working folder, each task in a process of its own.

The processes are forked from this one, so that they share its imports, which take longer than most tasks: adloom's,
those of MLflow's databases, and of the modules that the arguments name.
"""

import importlib
import json
import os
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

from kfp import components, local
from kfp.dsl import executor_main
from kfp.local import subprocess_task_handler

from adloom.tracking.mlflow_server import prepare_environment

MLFLOW = ("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store")


def fork_task(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
    """Run a task's command, `sh -ec SCRIPT SOURCE OPTION…`, in a fork instead of a shell and an interpreter."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    try:
        execute(*full_command[3:])
        code = 0
    except BaseException:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)


def execute(source: str, *options: str) -> None:
    """Do what the script of a task does."""
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    component = Path(tempfile.mkdtemp(), "ephemeral_component.py")
    component.write_text(source, encoding="utf-8")
    sys.argv = ["executor_main", "--component_module_path", str(component), *options]
    executor_main.executor_main()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    prepare_environment()
    for module in ("adloom.kubeflow.component_runtime", *MLFLOW, *sys.argv[1:]):
        importlib.import_module(module)
    subprocess_task_handler.run_local_subprocess = fork_task
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root="kfp", raise_on_error=True)
    pipeline = components.load_component_from_file("pipeline.yaml")
    pipeline(**json.loads(Path("arguments.json").read_text(encoding="utf-8")))
