"""Packages: what is installed, by metadata as pip writes it, against what adloom requires."""

import sys
from importlib import metadata
from pathlib import Path

import pytest
from tests.unit.doctor.conftest import MakeContext

from adloom.doctor.checks import python
from adloom.doctor.finding import Kind


def install(folder: Path, name: str, version: str, *requires: str) -> None:
    """Write a distribution's metadata, which is all that is looked at."""
    place = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    place.mkdir(parents=True)
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", "Requires-Python: >=3.11"]
    (place / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {line}" for line in requires), ""]))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that is looked at first."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def test_another_version_than_the_pin_is_told_with_the_command_that_mends_it(site: Path) -> None:
    install(site, "kfp", "2.16.1")
    (found,) = python.check_requirements(['kfp==2.17.0; extra == "train"', "click>=8.1"], ["train"])
    assert found == Kind.PYTHON_REQUIREMENT("kfp is 2.16.1, expected ==2.17.0", "pip install 'kfp==2.17.0'")


def test_what_is_missing_is_told_once_for_each(site: Path) -> None:
    install(site, "click", "8.0")
    lines = ["adloom-no-such-package>=1.0", "click>=8.1", "numpy>=2.0"]
    found = [one.found for one in python.check_requirements(lines, [])]
    assert found == ["adloom-no-such-package is not installed, expected >=1.0", "click is 8.0, expected >=8.1"]


def test_what_a_requirements_own_extra_asks_for_is_looked_at(site: Path) -> None:
    install(site, "dvc", "3.67", 'adloom-no-such-remote>=3; extra == "s3"', 'other>=1; extra == "gs"', "click>=8")
    (found,) = python.check_requirements(["dvc[s3]>=3.67"], [])
    assert found.found == "adloom-no-such-remote is not installed, expected >=3"


def test_extras_that_are_not_installed_are_not_asked_for() -> None:
    (found,) = python.check_requirements(['adloom-no-such-package>=1.0; extra == "train"', "click>=8.1"], ["serve"])
    assert found == Kind.PYTHON_OK("1 requirements, those of serve among them, 0 of one exact version: all satisfied")


def test_an_old_python_is_told() -> None:
    (found,) = python.check_release(">=3.11", "3.10.12")
    assert found == Kind.PYTHON_OLD("Python 3.10.12, expected >=3.11", "create an environment with Python >=3.11")


def test_a_package_that_cannot_be_imported_is_told(site: Path) -> None:
    site.mkdir()
    (site / "adloom_broken_package.py").write_text("raise ImportError('libfoo.so: wrong ELF class')")
    (found,) = python.check_imports(("numpy", "adloom_broken_package"))
    assert found.name == "python-import"
    assert found.found == "adloom_broken_package cannot be imported: ImportError: libfoo.so: wrong ELF class"
    assert "--force-reinstall" in found.next_step


@pytest.mark.parametrize(("said", "told"), [("None", "CPUs"), ("'13.0'", "CUDA 13.0")])
def test_the_build_of_torch_is_told_without_importing_it(site: Path, said: str, told: str) -> None:
    install(site, "torch", "9.9.0")
    (site / "torch").mkdir()
    (site / "torch" / "version.py").write_text(f"__version__ = '9.9.0'\ncuda: Optional[str] = {said}\nhip = None\n")
    assert python.describe_torch() == f"torch 9.9.0 for {told}"


def test_this_environment_is_as_required(make_context: MakeContext) -> None:
    found = list(python.check(make_context()))
    assert {one.name for one in found} == {"python-ok"}
    assert metadata.version("torch") in found[-1].found


def test_an_image_that_only_serves_is_not_asked_for_what_trains(
    make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("torch", "pytorch_lightning", "kfp", "dvc"):
        monkeypatch.setitem(sys.modules, module, None)
    found = list(python.check(make_context()))
    assert "python-requirement" not in {one.name for one in found}
    (absent,) = (one for one in found if one.name == "python-not-asked")
    assert absent.found == "the extra train is not installed here; pip install 'adloom[train]' brings it"
