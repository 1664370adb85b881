"""The decorator of all components: it sets the image and installs no packages at run time."""

import ast
from collections.abc import Callable
from typing import Any

from kfp import dsl

from adloom.config.resources import Pipeline

SCRIPT = (  # what kfp's own does: run the program, the first argument, with the others
    'p=$(mktemp -d)/c.py;printf %s "$0">"$p";'
    '_KFP_RUNTIME=true exec python3 -m kfp.dsl.executor_main --component_module_path "$p" "$@"'
)
INDENT = 4 * " "  # of unparsed programs
IMAGE = Pipeline().image  # the default; `pipeline.image` in params.yaml replaces it


def component(function: Callable[..., Any]) -> Any:
    """
    Create a component from a function; its image has adloom installed.

    The command is shortened, because a run's object in Kubernetes holds it nine times per task.
    """
    created = dsl.component(function, base_image=IMAGE, install_kfp_package=False)
    container: Any = created.component_spec.implementation.container
    shell, option, _, source = container.command
    container.command = [shell, option, SCRIPT, _shorten(source)]
    return created


def _shorten(source: str) -> str:
    """Return a program without docstrings, comments, needless imports, annotations and spaces."""
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    for node in functions:
        if ast.get_docstring(node):
            del node.body[0]
        if isinstance(node.returns, ast.Constant):  # None
            node.returns = None
    typing = ["from typing import NamedTuple"] if "NamedTuple(" in source else []
    lines = "\n".join(["from kfp.dsl import *", *typing, *map(ast.unparse, functions)])
    return lines.replace(INDENT, " ")
