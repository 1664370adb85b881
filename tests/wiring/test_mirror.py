"""The unit tests mirror src file by file; ELSEWHERE lists modules that other tests cover."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE, UNIT = ROOT / "src" / "adloom", ROOT / "tests" / "unit"
MODULES = sorted(str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if path.name != "__init__.py")
DECLARATIONS = {  # types and constants only
    *("arrays.py", "music/tune.py", "data/context.py", "kubeflow/jobs/base.py", "credentials/records.py"),
}
ELSEWHERE = {
    "catalogue/entry.py": "unit/catalogue/test_entries.py",
    "catalogue/networks.py": "unit/catalogue/test_entries.py",
    "config/drift.py": "unit/config/test_params.py",
    "config/audience.py": "unit/config/test_params.py",
    "config/recommendation.py": "unit/config/test_params.py",
    "config/training.py": "unit/config/test_params.py",
    "experiments/counts.py": "unit/experiments/test_analysis.py",
    "recommendation/figures.py": "unit/recommendation/test_evaluation.py",
    "stages/item_lstm.py": "unit/stages/test_recommend.py",
    "library/migrations/versions/creatives.py": "unit/library/test_tables.py",
    "serving/api/library_schemas.py": "unit/serving/library/test_answers.py",
    "serving/models/card.py": "unit/serving/models/test_loader.py",
    "serving/models/composer.py": "unit/serving/models/test_loader.py",
    "stages/sequence_export.py": "unit/stages/test_train_lstm.py",
    "__main__.py": "wiring/test_commands.py",
    "audience/figures.py": "unit/audience/test_evaluation.py",
    "cli/closed_loop.py": "system/test_closed_loop.py",
    "cli/datasets.py": "system/test_dataset.py",
    "cli/decision_log.py": "system/test_decision_log.py",
    "cli/init.py": "wiring/test_commands.py",
    "cli/kubeflow.py": "system/test_submit.py",
    "creatives/figures.py": "unit/creatives/test_gan_evaluation.py",
    "serving/creatives/bento_service.py": "system/test_bentoml.py",
    "serving/models/stylizer.py": "unit/serving/models/test_loader.py",
    "doctor/mlflow_probe.py": "system/test_doctor_mlflow.py",
    "doctor/s3_probe.py": "system/test_doctor_s3.py",
    "kubeflow/client/memory.py": "unit/kubeflow/client/test_base.py",
    "kubeflow/tuning_runtime.py": "system/test_kubeflow.py",
    "kubeflow/distributed.py": "system/test_distributed.py",
}
OF_SEVERAL_MODULES = {"stages/test_loop.py", "stages/test_register_policy.py"}


def mirror(module: str) -> Path:
    """Return the path of a module's unit test."""
    path = Path(module)
    return UNIT / path.parent / f"test_{path.name}"


def test_every_module_has_its_test() -> None:
    without = {module for module in MODULES if not mirror(module).is_file()}
    assert without - DECLARATIONS == ELSEWHERE.keys()
    assert [path for path in ELSEWHERE.values() if not (ROOT / "tests" / path).exists()] == []


def test_no_entry_is_out_of_date() -> None:
    assert (DECLARATIONS | ELSEWHERE.keys()) <= set(MODULES)


def test_every_unit_test_has_its_module() -> None:
    tests = {str(path.relative_to(UNIT)) for path in UNIT.rglob("test_*.py")}
    assert tests - {str(mirror(module).relative_to(UNIT)) for module in MODULES} == OF_SEVERAL_MODULES
