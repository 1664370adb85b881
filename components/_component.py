"""The one decorator of all components: where their image is named, and that nothing is installed when they run."""

from collections.abc import Callable
from typing import Any

from kfp import dsl

from adloom.config.resources import Pipeline

IMAGE = Pipeline().image  # what a pipeline is compiled with; `pipeline.image` in params.yaml takes its place


def component(function: Callable[..., Any]) -> Any:
    """Make a component of a function whose image has adloom installed."""
    return dsl.component(function, base_image=IMAGE, install_kfp_package=False)
