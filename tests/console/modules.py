"""The console's modules, served as the site serves them, for a page that calls them."""

import http.server
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2] / "src" / "staffetta"
FOLDERS = {
    "/static/console/": ROOT / "site" / "console" / "static" / "console",
    "/static/ui/": ROOT / "ui" / "static" / "ui",
}
PAGE = b"""<!doctype html><meta charset="utf-8"><title>bench</title><link rel="icon" href="data:,">
<script type="module" src="/bench.js"></script>"""


@contextmanager
def served(changed: Mapping[str, tuple[str, str]] | None = None) -> Iterator[str]:
    """Yield the address of a page with the modules. ``changed``: in the one of this name that text is another."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            kind, body = "text/html", PAGE
            if path != "/":
                kind, body = "text/javascript", self._module(path)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _module(self, path: str) -> bytes:
            if path == "/bench.js":
                return (Path(__file__).parent / "bench.js").read_bytes()
            folder = next(folder for folder in FOLDERS if path.startswith(folder))
            name = path.removeprefix(folder)
            text = (FOLDERS[folder] / name).read_text()
            if changed and name in changed:
                old, new = changed[name]
                assert text.count(old) == 1, f"{name} does not hold {old!r} once"
                text = text.replace(old, new)
            return text.encode()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
