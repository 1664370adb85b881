"""Small functions, small files."""

import ast
from pathlib import Path
from statistics import median, quantiles

SOURCE = Path(__file__).parents[2] / "src" / "adloom"


def lengths() -> list[int]:
    """Return the length of every function's body, without its docstring."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                found.append((body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0)
    return found


def test_functions_are_small() -> None:
    found = lengths()
    assert median(found) <= 8
    assert quantiles(found, n=10)[-1] <= 18


def test_files_are_small() -> None:
    long = {str(p): n for p in SOURCE.rglob("*.py") if (n := len(p.read_text(encoding="utf-8").splitlines())) > 350}
    assert long == {}
