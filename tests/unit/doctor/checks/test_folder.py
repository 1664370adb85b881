"""params.yaml and the environment's variables."""

import sys
from pathlib import Path

import pytest
from tests.unit.doctor.conftest import MakeContext

from adloom.doctor.checks import folder
from adloom.doctor.context import read_context
from adloom.doctor.finding import Kind
from adloom.doctor.runner import run_checks


def test_params_that_load_are_told_by_their_project(make_context: MakeContext, tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    (found,) = folder.check_params(make_context())
    assert found == Kind.PARAMS_OK(f"{tmp_path / 'params.yaml'}: project shop")


def test_params_that_do_not_load_are_told_and_the_other_checks_go_on(make_context: MakeContext) -> None:
    context = make_context({"train_gan": {"epochs": 0}})
    found = list(run_checks(context, {"params": folder.check_params, "settings": folder.check_settings}))
    assert [one.name for one in found] == ["params-broken", "settings-ok"]
    assert "train_gan.epochs: Input should be greater than 0" in found[0].found


def test_a_folder_without_params_says_how_to_make_them(tmp_path: Path) -> None:
    (found,) = folder.check_params(read_context(tmp_path / "params.yaml"))
    assert (found.name, found.next_step) == ("params-broken", "`adloom init` writes one, --params names another")


def test_params_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (found,) = folder.check_params(read_context(tmp_path))
    assert found == Kind.PARAMS_BROKEN(f"{tmp_path}: Is a directory", "make it readable")


def test_a_component_needs_no_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    (found,) = folder.check_params(read_context(tmp_path / "params.yaml"))
    assert found.name == "params-not-asked"


def test_what_only_serves_needs_no_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (found,) = folder.check_params(read_context(tmp_path / "params.yaml"))
    assert found.name == "params-not-asked"


def test_a_folder_without_stages_is_told(make_context: MakeContext) -> None:
    found = list(folder.check_params(make_context()))
    assert [one.name for one in found] == ["params-ok", "params-no-stages"]
    assert found[1].next_step == "`adloom init DIR` writes one into a new folder"


def test_impossible_values_are_told_by_their_variables_and_never_shown(make_context: MakeContext) -> None:
    context = make_context(ADLOOM_AUTH="perhaps-secret", ADLOOM_SERVE_THREADS="many")
    found = list(folder.check_settings(context))
    assert {one.name for one in found} == {"settings-broken"}
    assert {one.found.partition(":")[0] for one in found} == {"ADLOOM_AUTH", "ADLOOM_SERVE_THREADS"}
    assert "perhaps-secret" not in str(found)
    assert (context.settings.serve_threads, context.settings.quiet) == (2, False)


@pytest.mark.parametrize(
    ("variables", "place"),
    [({}, "laptop"), ({"CI": "true"}, "CI"), ({"CI": "true", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "pod")],
)
def test_where_it_is_called_is_told(make_context: MakeContext, variables: dict[str, str], place: str) -> None:
    context = make_context(**variables)
    assert context.environment == place
    (found,) = folder.check_settings(context)
    assert found.name == "settings-ok"
    assert place in found.found
