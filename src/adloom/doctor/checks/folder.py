"""params.yaml, dvc.yaml, and the environment's variables."""

from collections.abc import Iterator

from adloom.doctor.context import DoctorContext, is_installed
from adloom.doctor.finding import Finding, Kind
from adloom.errors import ConfigError


def check_settings(context: DoctorContext) -> Iterator[Finding]:
    """Report invalid variables."""
    for line in context.setting_errors:
        yield Kind.SETTINGS_BROKEN(line, "correct or unset it; until then its default is used")
    if not context.setting_errors:
        yield Kind.SETTINGS_OK(f"this is a {context.environment}" if context.environment != "CI" else "this is CI")


def check_params(context: DoctorContext) -> Iterator[Finding]:
    """Check that params.yaml loads, and that `adloom run` finds dvc.yaml next to it."""
    if isinstance(context.params, ConfigError):
        needed = context.can_train and context.environment != "pod"
        if not needed and not context.params_path.exists():
            yield Kind.PARAMS_NOT_ASKED(
                f"no {context.params_path} here, and neither components nor models in a folder need it"
            )
        else:
            yield Kind.PARAMS_BROKEN.from_error(context.params)
        return
    yield Kind.PARAMS_OK(f"{context.params_path}: project {context.params.project}")
    stages = context.params_path.parent / "dvc.yaml"
    if context.environment != "pod" and is_installed("dvc") and not stages.is_file():
        yield Kind.PARAMS_NO_STAGES(
            f"{stages}: no such file, and `adloom run` needs it", "`adloom init DIR` writes one into a new folder"
        )
