"""
A hub on loopback that serves folders as models and data sets, as far as `transformers` and `datasets` ask it: `python hub.py ROOT`
prints its address, and serves until its input ends.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0" * 39 + "1"


class Hub:
    """Serves each folder `org/name` below a root, as model and as data set. What the organisation `gated` has wants a token."""

    def __init__(self, root: Path):
        self.root = root
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(hub):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self._answer()

            def do_HEAD(self):
                self._answer()

            def do_POST(self):
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}"))

            def log_message(self, *_):
                pass

            def _answer(self, body=None):
                path = unquote(urlsplit(self.path).path)
                hub.asked.append(f"{self.command} {self.path}")
                parts = path.strip("/").split("/")
                is_api = parts[:1] == ["api"]
                parts = parts[1:] if is_api else parts
                # Only the files of models have no kind before them.
                parts = parts[1:] if is_api or parts[:1] == ["datasets"] else parts
                folder = hub.root / "/".join(parts[:2])
                if len(parts) < 2 or not folder.is_dir():
                    return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
                if parts[0] == "gated" and not self.headers.get("Authorization"):
                    return self._send(401, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "This repository is gated."})
                rest = parts[2:]
                if not is_api:
                    return self._file(folder.joinpath(*rest[2:]))
                files = sorted(file for file in folder.rglob("*") if file.is_file())
                if rest[:1] == ["tree"]:
                    below = folder.joinpath(*rest[2:])
                    found = [hub._entry(file, folder) for file in files if file.is_relative_to(below)]
                    return self._json(found) if found else self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
                if rest[:1] == ["paths-info"]:
                    return self._json([hub._entry(file, folder) for file in files if str(file.relative_to(folder)) in body["paths"]])
                siblings = [{"rfilename": str(file.relative_to(folder))} for file in files]
                if rest[:1] in ([], ["revision"]):
                    return self._json({"id": "/".join(parts[:2]), "sha": COMMIT, "siblings": siblings, "tags": [], "private": False})
                return self._send(404, b"{}")

            def _file(self, file: Path):
                if not file.is_file():
                    return self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
                content = file.read_bytes()
                return self._send(200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT})

            def _json(self, value):
                return self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

            def _send(self, status: int, content: bytes, headers=None):
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

        return Handler

    def _entry(self, file: Path, folder: Path) -> dict:
        content = file.read_bytes()
        name = str(file.relative_to(folder))
        return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


if __name__ == "__main__":
    hub = Hub(Path(sys.argv[1]))
    print(hub.url, flush=True)
    sys.stdin.read()
    hub.close()
