"""The decorator of all components: it sets the image and installs no packages at run time."""

from collections.abc import Callable
from typing import Any

from kfp import dsl

from adloom.config.resources import Pipeline

IMAGE = Pipeline().image  # the default; `pipeline.image` in params.yaml replaces it


def component(function: Callable[..., Any]) -> Any:
    """Create a component from a function; its image has adloom installed."""
    return dsl.component(function, base_image=IMAGE, install_kfp_package=False)
