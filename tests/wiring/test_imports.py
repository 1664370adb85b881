"""Imports go one way: foundations, pure domains, infrastructure, training, stages, callers of stages."""

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "adloom"
MODULES = sorted(SOURCE.rglob("*.py"))

FOUNDATIONS = {
    "errors": "",
    "arrays": "",
    "connection_errors": "",
    "garbage_collection": "",
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


def find_offenders(rule: Callable[[Path], Iterable[str]], paths: Iterable[Path] = MODULES) -> dict[str, list[str]]:
    """Return what breaks a rule, by file."""
    found = {identify(path): sorted(rule(path)) for path in paths}
    assert found
    return {path: names for path, names in found.items() if names}


def select(*packages: str) -> list[Path]:
    return [path for path in MODULES if package(path) in packages]


def test_a_package_imports_only_from_lower_packages() -> None:
    assert find_offenders(lambda path: packages_of(path) - MAY_IMPORT[package(path)]) == {}


def test_modules_import_each_other_in_no_cycle() -> None:
    names = {".".join(path.relative_to(SOURCE.parent).with_suffix("").parts): path for path in MODULES}
    graph = {
        name: {other for full in imported(path) for other in (full, full.rpartition(".")[0]) if other in names}
        for name, path in names.items()
    }
    list(TopologicalSorter(graph).static_order())


def test_domains_are_pure() -> None:
    npz = {f"adloom.storage.npz{name}" for name in ("", ".read_arrays", ".write_arrays")}

    def find_input_and_output(path: Path) -> set[str]:
        stored = {name for name in imported(path) if name.startswith("adloom.storage")}
        return roots(path) & INPUT_AND_OUTPUT | stored - npz

    assert find_offenders(find_input_and_output, select(*DOMAINS)) == {}


def test_only_nets_import_torch_and_only_fits_import_scikit_learn() -> None:
    nets = ("net", "module", "batches", "loss", "augmentation", "progress")

    def find_libraries(path: Path) -> set[str]:
        allowed = {"torch", "pytorch_lightning"} if path.stem.endswith(nets) else set()
        allowed |= {"sklearn"} if path.stem == "fit" else set()
        return roots(path) & {"torch", "pytorch_lightning", "sklearn"} - allowed

    assert find_offenders(find_libraries, select(*DOMAINS)) == {}


def test_no_stage_imports_another() -> None:
    stages = {
        path.stem for path in (SOURCE / "stages").glob("*.py") if "\ndef run(" in path.read_text(encoding="utf-8")
    }
    assert len(stages) > 10

    def find_stages(path: Path) -> set[str]:
        return {name.split(".")[2] for name in imported(path) if name.startswith("adloom.stages.")} & stages

    assert find_offenders(find_stages, select("stages")) == {}


def test_only_the_command_line_imports_click() -> None:
    others = [path for path in MODULES if package(path) != "cli"]
    assert find_offenders(lambda path: roots(path) & {"click"}, others) == {}


def test_serving_imports_no_training() -> None:
    training = {"torch", "pytorch_lightning", "sklearn", "kfp", "dvc", "pandas", "matplotlib"}
    assert find_offenders(lambda path: roots(path) & training, select("serving")) == {}


def test_nothing_unpickles() -> None:
    modules = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
    assert find_offenders(lambda path: roots(path) & modules | find_texts(path, "allow_pickle=True")) == {}


def find_texts(path: Path, *texts: str) -> set[str]:
    content = path.read_text(encoding="utf-8")
    return {text for text in texts if text in content}


def test_arrays_are_written_by_npz() -> None:
    """The bytes of NumPy's own npz depend on the Python release."""
    assert find_offenders(lambda path: find_texts(path, "np.savez")) == {}


READS_ENVIRONMENT = {
    "config/settings.py",  # adloom's own settings
    "datasets/workspace.py",  # passes it to DVC
    "tracking/mlflow_server.py",  # the others set switches of libraries
    "onnx_models/runtime.py",
    "threads.py",
}


def test_the_environment_is_read_in_one_place() -> None:
    uses = find_offenders(lambda path: find_texts(path, "os.environ", "os.getenv") | imported(path) & {"os.environ"})
    assert {path for path in uses if not path.startswith("serving/")} == READS_ENVIRONMENT


def test_onnxruntime_is_imported_in_one_place() -> None:
    """onnx_models/runtime.py switches its telemetry off first."""
    assert find_offenders(lambda path: roots(path) & {"onnxruntime"}).keys() == {"onnx_models/runtime.py"}
