"""A web server on this machine that behaves as bad hosts do."""

from __future__ import annotations

import gzip
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

EVERY = 3
"""Of so many requests one fails."""


class Host(ThreadingHTTPServer):
    """The files that it has, by path, its faults, and the requests that it got."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], faults: set[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.faults = files, faults
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """Method, path with query, and headers in lower case."""

    @property
    def url(self) -> str:
        """Of its root, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Connections that break are what it is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Host

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        if "no HEAD" in self.server.faults:
            self._say(405)
        else:
            self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        faults = self.server.faults
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.command, self.path, headers))
        failing = len(self.server.requests) % EVERY == 1
        if "hangs" in faults:
            time.sleep(30)
        if "always 503" in faults or ("503" in faults and failing):
            return self._say(503)
        if "429" in faults and failing:
            return self._say(429, {"Retry-After": "0"})
        if "drops" in faults and failing:
            self.close_connection = True
            return self.connection.shutdown(2)
        if "redirects" in faults and not self.path.startswith("/moved"):
            return self._say(302, {"Location": f"/moved{self.path}"})
        if "token" in faults and urlsplit(self.path).query != "sig=a/b%3D":
            return self._say(403)
        path = unquote(urlsplit(self.path).path).removeprefix("/moved")
        if path not in self.server.files:
            return self._say(404)
        self._send(self.server.files[path], headers.get("range"), failing)

    def _send(self, data: bytes, wanted: str | None, failing: bool) -> None:
        faults, size = self.server.faults, len(data)
        answer: dict[str, str] = {"ETag": '"one"'}
        status = 200
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted or "")
        if match and "no ranges" not in faults and "compresses" not in faults:
            first, end = int(match[1]), min(int(match[2] or size), size - 1) + 1
            if first >= size or "416" in faults:
                return self._say(416)
            total = "*" if "no size" in faults else str(size)
            answer["Content-Range"] = f"bytes {first}-{end - 1}/{total}"
            data, status = data[first:end], 206
        if "compresses" in faults:
            data, answer["Content-Encoding"] = gzip.compress(data), "gzip"
        if "no length" in faults and status == 200:
            answer["Transfer-Encoding"] = "chunked"
        else:
            answer["Content-Length"] = str(len(data))
        self.send_response(status)
        for name, value in answer.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return None
        if "Transfer-Encoding" in answer:
            self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
            return None
        if "always cut" in faults or ("cut" in faults and failing):
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.close_connection = True
            return self.connection.shutdown(2)
        self.wfile.write(data)

    def _say(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def hosting(files: dict[str, bytes], *faults: str) -> Iterator[Host]:
    """A host with these files and faults."""
    with Host(files, set(faults)) as host:
        threading.Thread(target=host.serve_forever, args=(0.01,), daemon=True).start()
        yield host
        host.shutdown()
