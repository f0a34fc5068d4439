"""An object store in a process of its own, which kills who writes to it: see `Store`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from urllib.request import urlopen

from satimnet.builder.storage import objects

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "planted-key-id-of-the-tests",
    "AWS_SECRET_ACCESS_KEY": "planted-secret-key-of-the-tests",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}
_WRITING = ("PUT", "POST", "DELETE")
_ARM = "/-/arm"
_COUNT = "/-/count"


class Store:
    """An S3 store on this machine. The environment of this process says how it is reached."""

    def __init__(self) -> None:
        import boto3

        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kills.store"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        os.environ |= {**_ENVIRONMENT, "AWS_ENDPOINT_URL": self.url}
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="kills")
        self._number = 0

    def new_place(self) -> str:
        """The URL of a prefix with nothing below it; what was below the last one is removed."""
        if self._number:
            objects.remove_below(self.place)
        self._number += 1
        return self.place

    @property
    def place(self) -> str:
        """The URL of the prefix that `new_place` gave last."""
        return f"s3://kills/{self._number}"

    def fill(self, folder: Path, name: str) -> None:
        """Puts the files of a folder below a name in the prefix."""
        files = [path for path in folder.rglob("*") if path.is_file()]
        with ThreadPoolExecutor(8) as pool:
            places = (
                f"{self.place}/{name}/{path.relative_to(folder).as_posix()}" for path in files
            )
            list(pool.map(objects.write, places, files))

    def digests(self) -> dict[str, str]:
        """The digest of each object below the prefix, which S3 tells of small ones."""
        length = len(self.place) + 1
        return {file.place[length:]: file.tag for file in objects.files_below(self.place)}

    def writes(self) -> int:
        """How many requests to write there were since `arm`."""
        with urlopen(self.url + _COUNT) as answer:
            return int(answer.read())

    def arm(self, pid: int, number: int, *, after: bool) -> None:
        """Kills a process at its so-manyth request to write, before or after that is done."""
        with urlopen(f"{self.url}{_ARM}?pid={pid}&number={number}&after={int(after)}") as answer:
            answer.read()

    def close(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.wait()


Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def watched(application: Application) -> Application:
    """The application, which kills a process when it is armed."""
    lock = threading.Lock()
    state = {"pid": 0, "number": 0, "after": 0, "seen": 0}

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path in (_ARM, _COUNT):
            with lock:
                if path == _ARM:
                    asked = parse_qs(environ["QUERY_STRING"])
                    state.update({name: int(value[0]) for name, value in asked.items()}, seen=0)
                said = str(state["seen"]).encode()
            start("200 OK", [("Content-Length", str(len(said)))])
            return [said]
        strikes = False
        if environ["REQUEST_METHOD"] in _WRITING:
            with lock:
                state["seen"] += 1
                strikes = state["seen"] == state["number"]
        if strikes and not state["after"]:
            os.kill(state["pid"], signal.SIGKILL)
            start("503 Service Unavailable", [("Content-Length", "0")])
            return []
        done = list(application(environ, start))
        if strikes:
            os.kill(state["pid"], signal.SIGKILL)
        return done

    return answer


def main() -> None:
    """Serves, and says on which port."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        def log(self, *_: object) -> None:
            """Keep the output clean."""

    application = watched(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Silent)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
