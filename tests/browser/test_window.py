"""A window can see: each kind of trouble that the walks must not meet turns it discontented."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from browser.conftest import People, Window

pytestmark = [pytest.mark.live, pytest.mark.browser]

TROUBLES = {
    "/": ("", ""),
    "/inline": ("<script>document.title = 'inline'</script>", "Content Security Policy"),
    "/thrown": ("<script src='/throws.js'></script>", "script: out of the blue"),
    "/missing": ("<img src='/nowhere.png' alt=''>", "/nowhere.png: 404"),
    "/refused": ("<img src='/hangs-up.png' alt=''>", "/hangs-up.png: net::"),
}


class Pages(http.server.BaseHTTPRequestHandler):
    """Serves one page for each trouble, under the policy that the real pages have."""

    def do_GET(self) -> None:
        if self.path == "/hangs-up.png":
            self.close_connection = True
            return
        known = {**{path: page for path, (page, _) in TROUBLES.items()}, "/throws.js": "throw Error('out of the blue')"}
        body = known.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", "text/javascript" if self.path.endswith(".js") else "text/html")
        self.send_header("Content-Security-Policy", "default-src 'self'; img-src 'self' data:")
        self.end_headers()
        if body is not None and self.path.endswith(".js"):
            self.wfile.write(body.encode())
        elif body is not None:
            icon = "<link rel='icon' href='data:image/png;base64,'>"
            self.wfile.write(f"<!doctype html><title>page</title>{icon}<main>{body}</main>".encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("path", TROUBLES)
def test_a_window_notes_what_the_browser_complains_of(people: People, address: str, path: str) -> None:
    window: Window = people.arrive(address)
    window.open(path)
    complaints, window.complaints = "\n".join(window.complaints), []
    _, expected = TROUBLES[path]
    assert expected in complaints
    assert bool(complaints) == bool(expected), complaints


def test_a_refusal_that_does_not_come_is_noticed(people: People, address: str) -> None:
    window = people.arrive(address)
    with window.refusal(404):
        window.open("/missing")
    with pytest.raises(AssertionError, match="no answer had the status 403"), window.refusal(403):
        window.open("/")
