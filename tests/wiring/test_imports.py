"""Imports go one way: pure domains, then stages, then the outside."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "adloom"
PURE = ("data", "creatives", "sequences", "copywriting", "audience", "policy", "evaluation")
OUTSIDE = {"boto3", "botocore", "mlflow", "kfp", "bentoml", "dvc", "requests", "urllib", "os.environ", "subprocess"}
MODULES = sorted(SOURCE.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def domain(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0]


@pytest.mark.parametrize("path", [p for p in MODULES if domain(p) in PURE], ids=lambda p: str(p.relative_to(SOURCE)))
def test_domains_are_pure(path: Path) -> None:
    assert roots(path) & OUTSIDE == set()
    assert "os" not in roots(path)
    inner = {name.split(".")[1] for name in imported(path) if name.startswith("adloom.")}
    assert inner & {"stages", "serving", "cli", "context"} == set()


@pytest.mark.parametrize("path", [p for p in MODULES if domain(p) in PURE], ids=lambda p: str(p.relative_to(SOURCE)))
def test_only_nets_know_torch_and_only_fits_know_scikit_learn(path: Path) -> None:
    if not path.stem.endswith(("net", "module", "batches")):
        assert roots(path) & {"torch", "pytorch_lightning"} == set()
    if path.stem != "fit":
        assert "sklearn" not in roots(path)


@pytest.mark.parametrize("path", sorted((SOURCE / "serving").rglob("*.py")), ids=lambda p: p.name)
def test_serving_knows_no_training(path: Path) -> None:
    assert roots(path) & {"torch", "pytorch_lightning", "sklearn", "kfp", "dvc", "pandas", "matplotlib"} == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_nothing_unpickles(path: Path) -> None:
    assert roots(path) & {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"} == set()
    assert "allow_pickle=True" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_arrays_are_written_by_npz(path: Path) -> None:
    """NumPy's own npz has other bytes under another release of Python."""
    assert "np.savez" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_the_environment_is_read_in_one_place(path: Path) -> None:
    """Only settings reads it; workspace.py hands it to DVC; the others set switches of libraries."""
    if (
        path.name not in {"settings.py", "workspace.py", "mlflow_server.py", "runtime.py", "threads.py"}
        and domain(path) != "serving"
    ):
        assert "os.environ" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_onnxruntime_is_imported_in_one_place(path: Path) -> None:
    """onnx_models/runtime.py switches its telemetry off first."""
    assert path.name == "runtime.py" or "onnxruntime" not in roots(path)
