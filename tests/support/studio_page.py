"""The files of the studio, and what they request."""

import re

from adloom.serving.creatives import studio

FILES = {path.name: path.read_text(encoding="utf-8") for path in studio.FOLDER.iterdir()}
SCRIPTS = {name: text for name, text in FILES.items() if name.endswith(".js")}
POSTED = {f"/{path}" for text in SCRIPTS.values() for path in re.findall(r'post\("(v1/[^"]+)"', text)}
FETCHED = {f"/{path}" for text in SCRIPTS.values() for path in re.findall(r'get\("(v1/[^"]+)"', text)}
ADDRESSES = {"/", *(f"/studio/{name}" for name in FILES if name != "index.html")}
