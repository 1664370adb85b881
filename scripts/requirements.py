"""
Print the requirements of a role, one per line. Images install them in a layer below the project's code.

python scripts/requirements.py pyproject.toml build|train|serve
"""

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, role: str) -> list[str]:
    """Return the build requirements of the wheel, or the project's dependencies plus the role's extra."""
    declared = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    if role == "build":
        return list(declared["build-system"]["requires"])
    return [*declared["project"]["dependencies"], *declared["project"]["optional-dependencies"][role]]


if __name__ == "__main__":
    print("\n".join(requirements(Path(sys.argv[1]), sys.argv[2])))
