"""The decorator of all components: it sets the image and installs no packages at run time."""

import ast
import re
from collections.abc import Callable
from typing import Any

from kfp import dsl

from adloom.config.resources import Pipeline

IMAGE = Pipeline().image  # the default; `pipeline.image` in params.yaml replaces it


def component(function: Callable[..., Any]) -> Any:
    """
    Create a component from a function; its image has adloom installed.

    The command is shortened, because a run's object in Kubernetes holds it nine times per task.
    """
    created = dsl.component(function, base_image=IMAGE, install_kfp_package=False)
    container: Any = created.component_spec.implementation.container
    shell, option, script, source = container.command
    container.command = [shell, option, re.sub(" +", " ", script), _shorten(source)]
    return created


def _shorten(source: str) -> str:
    """Return a program without docstrings, comments and needless spaces."""
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
            del node.body[0]
    return ast.unparse(tree)
