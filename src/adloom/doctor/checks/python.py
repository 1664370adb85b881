"""Python, and whether what is installed is what adloom requires."""

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

EXTRAS = {  # extra: what only it brings, and shows that it was asked for
    "train": ("torch", "pytorch_lightning", "kfp", "dvc"),
    "serve": ("bentoml",),
}
QUICK = ("boto3", "filelock", "numpy", "pydantic", "yaml")  # to import; what is compiled may be of another machine


def check(context: DoctorContext) -> Iterator[Finding]:
    """Compare Python and all packages with what the installed adloom requires."""
    del context
    yield from check_release(metadata.metadata("adloom")["Requires-Python"], platform.python_version())
    extras = [extra for extra, modules in EXTRAS.items() if any(map(is_installed, modules))]
    for extra in (extra for extra in EXTRAS if extra not in extras):
        yield Kind.PYTHON_NOT_ASKED(f"the extra {extra} is not installed here; pip install 'adloom[{extra}]' brings it")
    yield from check_requirements(metadata.requires("adloom") or [], extras)
    yield from check_imports(QUICK)
    if is_installed("torch"):
        yield Kind.PYTHON_OK(describe_torch())


def check_release(required: str, found: str) -> Iterator[Finding]:
    """Compare a release of Python with what is required."""
    if found not in SpecifierSet(required):
        yield Kind.PYTHON_OLD(f"Python {found}, expected {required}", f"make an environment with Python {required}")
    else:
        yield Kind.PYTHON_OK(f"Python {found} on {platform.machine()}")


def check_requirements(lines: list[str], extras: list[str]) -> Iterator[Finding]:
    """Compare what is installed with requirements as a distribution's metadata has them, those of some extras among."""
    named = [required for required in map(Requirement, lines) if _asked(required, ["", *extras])]
    asked = [required for one in named for required in (one, *_of_extras(one))]
    wrong = [(required, said) for required in asked if (said := _wrong(required))]
    for required, said in wrong:
        yield Kind.PYTHON_REQUIREMENT(
            f"{required.name} {said}, expected {required.specifier}",
            f"pip install '{required.name}{required.specifier}'",
        )
    if not wrong:
        pins = sum(str(required.specifier).startswith("==") for required in asked)
        of = f", those of {' and '.join(extras)} among them" if extras else ""
        yield Kind.PYTHON_OK(f"{len(asked)} requirements{of}, {pins} of one exact version: all satisfied")


def check_imports(modules: tuple[str, ...]) -> Iterator[Finding]:
    """Import modules that are quick to import."""
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - a package that is broken may raise whatever it likes
            yield Kind.PYTHON_IMPORT(
                f"{module} cannot be imported: {type(error).__name__}: {error}",
                f"`{sys.executable} -m pip install --force-reinstall` the package that holds it",
            )


def describe_torch() -> str:
    """Return for what torch was built, from the file in which it says so: importing it takes seconds."""
    said = Path(str(metadata.distribution("torch").locate_file("torch/version.py"))).read_text(encoding="utf-8")
    cuda = re.search(r"^cuda\b.*= *'([\d.]+)'", said, re.MULTILINE)
    return f"torch {metadata.version('torch')} for {f'CUDA {cuda[1]}' if cuda else 'CPUs'}"


def _asked(required: Requirement, extras: Iterable[str]) -> bool:
    return required.marker is None or any(required.marker.evaluate({"extra": extra}) for extra in extras)


def _of_extras(required: Requirement) -> list[Requirement]:
    """Return what a requirement's own extras ask for, such as dvc-s3 of dvc[s3]."""
    try:
        lines = metadata.requires(required.name) if required.extras else None
    except metadata.PackageNotFoundError:
        return []
    return [inner for inner in map(Requirement, lines or []) if inner.marker and _asked(inner, required.extras)]


def _wrong(required: Requirement) -> str:
    """Return what is wrong with the installed version; nothing when it is as required."""
    try:
        version = metadata.version(required.name)
    except metadata.PackageNotFoundError:
        return "is not installed"
    return "" if required.specifier.contains(version, prereleases=True) else f"is {version}"
