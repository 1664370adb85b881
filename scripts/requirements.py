"""
Print what a role requires, a requirement per line: an image holds it in a layer below the project's own code.

python scripts/requirements.py pyproject.toml build|train|serve
"""

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, role: str) -> list[str]:
    """Return what building the wheel requires, or what every role does and what the role's own extra adds."""
    declared = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    if role == "build":
        return list(declared["build-system"]["requires"])
    return [*declared["project"]["dependencies"], *declared["project"]["optional-dependencies"][role]]


if __name__ == "__main__":
    print("\n".join(requirements(Path(sys.argv[1]), sys.argv[2])))
