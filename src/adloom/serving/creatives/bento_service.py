"""
The creatives service for BentoML's commands.

Example: bentoml serve adloom.serving.creatives.bento_service:creatives --arg models=models
"""

from pathlib import Path

import bentoml
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Receive, Scope, Send

from adloom import __version__
from adloom.errors import AdloomError
from adloom.serving import server
from adloom.serving.api.middleware import ApiMiddleware
from adloom.serving.creatives import bento
from adloom.serving.server import ServeOptions

WHEELS = "wheels"  # folder of adloom's wheel, in the folder that is built


class Arguments(BaseModel):
    """The arguments of `bentoml serve` and of a Bento."""

    models: Path | None = Field(None, description="A folder of artifacts; without it the registry's champions serve.")
    params: Path = Field(Path("params.yaml"), description="The file that names the project.")
    follow: bool = Field(False, description="Whether to serve new champions as they come.")


class CreativesMiddleware:
    """ASGI middleware that loads the models at the start of a worker, and answers all paths of the service."""

    def __init__(self, app: ASGIApp, options: ServeOptions) -> None:
        try:
            service = server.create_service(options)
        except AdloomError as error:
            self._app: ASGIApp = _StartupFailure(str(error))
        else:
            self._app = service.wrap(ApiMiddleware(app, service.admission, bento.create_endpoints(service)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)


class _StartupFailure:
    """ASGI application that ends the worker with a reason."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": self._reason})


def create_bento_service(arguments: Arguments) -> bentoml.Service[bento.Creatives]:
    """Return a service that loads its models when a worker starts."""
    image = bentoml.images.Image(lock_python_packages=False).build_include(WHEELS)
    service = bento.create_hosted(image.python_packages(f"--find-links ./{WHEELS}", f"adloom[serve]=={__version__}"))
    options = ServeOptions("creatives", arguments.params, arguments.models, follow=arguments.follow)
    service.add_asgi_middleware(CreativesMiddleware, options=options)
    return service


creatives = create_bento_service(bentoml.use_arguments(Arguments))
