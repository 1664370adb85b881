"""Imports go one way: foundations, pure domains, infrastructure, training, stages, callers of stages."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "adloom"
MODULES = sorted(SOURCE.rglob("*.py"))

FOUNDATIONS = {
    "errors": "",
    "arrays": "",
    "connection_errors": "",
    "threads": "",
    "deadline": "errors",
    "retry": "errors",
    "config": "errors",
}
DOMAINS = {
    "data": "arrays config errors music",
    "evaluation": "arrays config errors",
    "sequences": "arrays config errors",
    "music": "arrays config errors evaluation sequences",
    "creatives": "arrays config data errors evaluation",
    "copywriting": "arrays config errors evaluation sequences",
    "ads": "arrays config copywriting errors",
    "audience": "arrays config data errors evaluation storage",
    "recommendation": "arrays config data errors evaluation storage",
    "credentials": "arrays data errors",
    "policy": "arrays audience config data errors evaluation storage",
    "drift": "arrays audience config data evaluation policy",
    "world": "arrays evaluation policy",
    "experiments": "arrays errors evaluation policy",
}
INFRASTRUCTURE = {
    "storage": "arrays config connection_errors errors retry",
    "onnx_models": "arrays errors threads",
    "tracking": "config connection_errors deadline errors retry storage",
    "registry": "config errors onnx_models storage tracking",
    "catalogue": "arrays config connection_errors errors retry storage world",
    "library": "arrays config data errors storage",
    "context": "catalogue config errors library registry storage tracking",
}
CALLED = " ".join([*FOUNDATIONS, *DOMAINS, *INFRASTRUCTURE])
STAGES = {
    "training": "arrays config context errors storage tracking",
    "stages": f"{CALLED} training",
}
CALLERS = {
    "tuning": f"{CALLED} stages training",
    "decision_log": "arrays config data errors evaluation experiments storage",
    "serving": f"{CALLED} decision_log",
    "datasets": f"{CALLED} stages training",
    "kubeflow": f"{CALLED} datasets serving stages training tuning",
    "doctor": f"{CALLED} kubeflow stages training",
    "cli": f"{CALLED} datasets decision_log doctor kubeflow serving stages training tuning",
    "__main__": "cli",
    "__init__": "",
}
MAY_IMPORT = {
    name: set(names.split()) for name, names in (FOUNDATIONS | DOMAINS | INFRASTRUCTURE | STAGES | CALLERS).items()
}
INPUT_AND_OUTPUT = {
    "boto3",
    "botocore",
    "mlflow",
    "kfp",
    "bentoml",
    "dvc",
    "requests",
    "httpx",
    "urllib",
    "subprocess",
    "os",
    "click",
}


@cache
def imported(path: Path) -> frozenset[str]:
    """Return the full names of all imports in a file, also inside functions."""
    return frozenset(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def package(path: Path) -> str:
    """Return the package of a file, or its name for a top-level module."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def packages_of(path: Path) -> set[str]:
    """Return the packages that a file imports from."""
    names = (name.split(".") for name in imported(path) if name.startswith("adloom."))
    return {name[1] for name in names} - {package(path), "__version__"}


def identify(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def test_every_package_has_its_rule_and_the_rules_allow_no_cycle() -> None:
    assert {package(path) for path in MODULES} == MAY_IMPORT.keys()
    list(TopologicalSorter(MAY_IMPORT).static_order())


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_a_package_imports_only_from_lower_packages(path: Path) -> None:
    assert packages_of(path) <= MAY_IMPORT[package(path)]


def test_modules_import_each_other_in_no_cycle() -> None:
    names = {".".join(path.relative_to(SOURCE.parent).with_suffix("").parts): path for path in MODULES}
    graph = {
        name: {other for full in imported(path) for other in (full, full.rpartition(".")[0]) if other in names}
        for name, path in names.items()
    }
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", [path for path in MODULES if package(path) in DOMAINS], ids=identify)
def test_domains_are_pure(path: Path) -> None:
    assert roots(path) & INPUT_AND_OUTPUT == set()
    assert {name for name in imported(path) if name.startswith("adloom.storage")} <= {
        "adloom.storage.npz",
        "adloom.storage.npz.read_arrays",
        "adloom.storage.npz.write_arrays",
    }


@pytest.mark.parametrize("path", [path for path in MODULES if package(path) in DOMAINS], ids=identify)
def test_only_nets_import_torch_and_only_fits_import_scikit_learn(path: Path) -> None:
    if not path.stem.endswith(("net", "module", "batches", "loss", "augmentation", "progress")):
        assert roots(path) & {"torch", "pytorch_lightning"} == set()
    if path.stem != "fit":
        assert "sklearn" not in roots(path)


@pytest.mark.parametrize("path", [path for path in MODULES if package(path) == "stages"], ids=identify)
def test_no_stage_imports_another(path: Path) -> None:
    stages = {
        other.stem for other in (SOURCE / "stages").glob("*.py") if "\ndef run(" in other.read_text(encoding="utf-8")
    }
    assert len(stages) > 10
    used = {name.split(".")[2] for name in imported(path) if name.startswith("adloom.stages.")}
    assert used & stages == set()


@pytest.mark.parametrize("path", [path for path in MODULES if package(path) != "cli"], ids=identify)
def test_only_the_command_line_imports_click(path: Path) -> None:
    assert "click" not in roots(path)


@pytest.mark.parametrize("path", [path for path in MODULES if package(path) == "serving"], ids=identify)
def test_serving_imports_no_training(path: Path) -> None:
    assert roots(path) & {"torch", "pytorch_lightning", "sklearn", "kfp", "dvc", "pandas", "matplotlib"} == set()


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_nothing_unpickles(path: Path) -> None:
    assert roots(path) & {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"} == set()
    assert "allow_pickle=True" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_arrays_are_written_by_npz(path: Path) -> None:
    """The bytes of NumPy's own npz depend on the Python release."""
    assert "np.savez" not in path.read_text(encoding="utf-8")


READS_ENVIRONMENT = {
    "config/settings.py",  # adloom's own settings
    "datasets/workspace.py",  # passes it to DVC
    "tracking/mlflow_server.py",  # the others set switches of libraries
    "onnx_models/runtime.py",
    "threads.py",
}


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_the_environment_is_read_in_one_place(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    uses = "os.environ" in text or "os.getenv" in text or "os.environ" in imported(path)
    assert uses == (identify(path) in READS_ENVIRONMENT) or (package(path) == "serving" and uses)


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_onnxruntime_is_imported_in_one_place(path: Path) -> None:
    """onnx_models/runtime.py switches its telemetry off first."""
    assert identify(path) == "onnx_models/runtime.py" or "onnxruntime" not in roots(path)
