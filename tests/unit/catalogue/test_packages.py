"""Commands of package managers: files, failures, and their messages."""

from pathlib import Path

import pytest

from adloom.catalogue.packages import PackageManager, apt, npm, pip
from adloom.errors import ExternalServiceError


def python(program: str) -> PackageManager:
    return PackageManager(("python", "-c", program))


def test_a_command_writes_its_file_into_the_folder(tmp_path: Path) -> None:
    assert python("open('a.whl', 'w').write('x')").download(tmp_path, "a.whl") == tmp_path / "a.whl"


@pytest.mark.parametrize(
    ("manager", "message"),
    [
        (PackageManager(("no-such-program",)), "no program called no-such-program"),
        (python("import sys; sys.exit('first\\nERROR: no version\\nhint')"), "^ERROR: no version$"),
        (python("import sys; sys.exit(3)"), "exit code 3"),
        (python("pass"), "did not write a.whl"),
    ],
)
def test_a_failure_is_one_line(tmp_path: Path, manager: PackageManager, message: str) -> None:
    with pytest.raises(ExternalServiceError, match=message):
        manager.download(tmp_path, "a.whl")


def test_commands_end_with_the_package() -> None:
    assert [manager.command[0] for manager in (pip("a==1"), apt("a=1"), npm("a@1"))] == ["python", "apt-get", "npm"]
    assert [manager.command[-1] for manager in (pip("a==1"), apt("a=1"), npm("a@1"))] == ["a==1", "a=1", "a@1"]
