"""Python and the installed packages."""

import importlib
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from adloom.doctor.context import DoctorContext, is_installed
from adloom.doctor.finding import Finding, Kind

EXTRAS = {  # extra: modules that only it installs
    "train": ("torch", "pytorch_lightning", "kfp", "dvc"),
    "serve": ("bentoml",),
}
QUICK = ("boto3", "filelock", "numpy", "pydantic", "yaml")  # to import; a compiled module may be of another machine


def check(context: DoctorContext) -> Iterator[Finding]:
    """Compare Python and all packages with adloom's requirements."""
    del context
    yield from check_release(metadata.metadata("adloom")["Requires-Python"], platform.python_version())
    extras = [extra for extra, modules in EXTRAS.items() if any(map(is_installed, modules))]
    for extra in (extra for extra in EXTRAS if extra not in extras):
        yield Kind.PYTHON_NOT_ASKED(f"the extra {extra} is not installed here; pip install 'adloom[{extra}]' brings it")
    yield from check_requirements(metadata.requires("adloom") or [], extras)
    yield from check_imports(QUICK)
    if is_installed("torch"):
        yield Kind.PYTHON_OK(describe_torch())


def check_release(required: str, release: str) -> Iterator[Finding]:
    """Compare Python's release with the required ones."""
    if release not in SpecifierSet(required):
        yield Kind.PYTHON_OLD(f"Python {release}, expected {required}", f"create an environment with Python {required}")
    else:
        yield Kind.PYTHON_OK(f"Python {release} on {platform.machine()}")


def check_requirements(lines: list[str], extras: list[str]) -> Iterator[Finding]:
    """Compare the installed packages with requirements, including those of some extras."""
    direct = [required for required in map(Requirement, lines) if _applies(required, ["", *extras])]
    checked = [required for each in direct for required in (each, *_extra_requirements(each))]
    wrong = [(required, problem) for required in checked if (problem := _find_problem(required))]
    for required, problem in wrong:
        yield Kind.PYTHON_REQUIREMENT(
            f"{required.name} {problem}, expected {required.specifier}",
            f"pip install '{required.name}{required.specifier}'",
        )
    if not wrong:
        pins = sum(str(required.specifier).startswith("==") for required in checked)
        included = f", those of {' and '.join(extras)} among them" if extras else ""
        yield Kind.PYTHON_OK(f"{len(checked)} requirements{included}, {pins} of one exact version: all satisfied")


def check_imports(modules: tuple[str, ...]) -> Iterator[Finding]:
    """Import some modules."""
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - a package that is broken may raise whatever it likes
            yield Kind.PYTHON_IMPORT(
                f"{module} cannot be imported: {type(error).__name__}: {error}",
                f"`{sys.executable} -m pip install --force-reinstall` its package",
            )


def describe_torch() -> str:
    """Return torch's build, from a file, because the import takes seconds."""
    text = Path(str(metadata.distribution("torch").locate_file("torch/version.py"))).read_text(encoding="utf-8")
    cuda = re.search(r"^cuda\b.*= *'([\d.]+)'", text, re.MULTILINE)
    return f"torch {metadata.version('torch')} for {f'CUDA {cuda[1]}' if cuda else 'CPUs'}"


def _applies(required: Requirement, extras: Iterable[str]) -> bool:
    return required.marker is None or any(required.marker.evaluate({"extra": extra}) for extra in extras)


def _extra_requirements(required: Requirement) -> list[Requirement]:
    """Return the requirements of a requirement's extras, such as dvc-s3 of dvc[s3]."""
    try:
        lines = metadata.requires(required.name) if required.extras else None
    except metadata.PackageNotFoundError:
        return []
    return [inner for inner in map(Requirement, lines or []) if inner.marker and _applies(inner, required.extras)]


def _find_problem(required: Requirement) -> str:
    """Return what is wrong with the installed version, "" if nothing."""
    try:
        version = metadata.version(required.name)
    except metadata.PackageNotFoundError:
        return "is not installed"
    return "" if required.specifier.contains(version, prereleases=True) else f"is {version}"
