"""The studio: a page where a creative team makes, looks at and reviews creatives; it loads nothing from other hosts."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).with_name("studio_page")
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def create_routes() -> list[Route]:
    """Return the page at / and its files below /studio."""
    index, *files = sorted(FOLDER.iterdir(), key=lambda path: path.name != "index.html")
    return [_create_route("/", index), *(_create_route(f"/studio/{path.name}", path) for path in files)]


def _create_route(address: str, path: Path) -> Route:
    content = path.read_bytes()

    async def answer(request: Request) -> Response:
        return Response(content, headers=HEADERS, media_type=MEDIA_TYPES[path.suffix])

    return Route(address, answer)
