"""Small functions, small files."""

import ast
from pathlib import Path
from statistics import median, quantiles

SOURCE = Path(__file__).parents[2] / "src" / "adloom"


def measure_bodies() -> list[int]:
    """Return the length of every function's body, without its docstring."""
    body_lengths = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                body_lengths.append((body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0)
    return body_lengths


def test_functions_are_small() -> None:
    body_lengths = measure_bodies()
    assert median(body_lengths) <= 8
    assert quantiles(body_lengths, n=10)[-1] <= 18


def test_files_are_small() -> None:
    long = {str(p): n for p in SOURCE.rglob("*.py") if (n := len(p.read_text(encoding="utf-8").splitlines())) > 350}
    assert long == {}
