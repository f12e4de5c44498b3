"""The files of the dashboard, read once at the start. They hold no data and need no token."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, NamedTuple

from starlette.responses import Response

FOLDER: Final = Path(__file__).parent / "page"
INDEX: Final = "index.html"
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
POLICY: Final = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class File(NamedTuple):
    """One file as it is sent."""

    content: bytes
    media_type: str
    tag: str


class Pages:
    """The files by the path that they are asked for with; `/` is the index."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files: dict[str, File] = {}
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.is_file() and path.suffix in TYPES:
                content = path.read_bytes()
                tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
                self._files[f"/{path.relative_to(folder).as_posix()}"] = File(content, TYPES[path.suffix], tag)
        if f"/{INDEX}" in self._files:
            self._files["/"] = self._files[f"/{INDEX}"]

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def response(self, path: str, known_tags: str) -> Response:
        """The file, or 304 if the browser has it as it is."""
        file = self._files[path]
        headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
        if file.tag in known_tags:
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers={**headers, "Content-Type": file.media_type})
