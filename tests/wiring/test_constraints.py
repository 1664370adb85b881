"""The locked packages install on the Pythons that users have."""

from importlib.metadata import distributions

from packaging.specifiers import SpecifierSet

DEBIAN = "3.11.2"  # the Python of Debian 12


def test_every_installed_package_accepts_debians_python() -> None:
    required = {package.name: str(package.metadata.json.get("requires_python", "")) for package in distributions()}
    assert [name for name, versions in required.items() if not SpecifierSet(versions).contains(DEBIAN)] == []
