"""A stand-in for the model hub, on this machine: the few addresses that its client asks for a download."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

SHA = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(folder: Path, repo: str, pause_s: float = 0.0) -> Iterator[str]:
    """The address of a hub with one model, the files of ``folder``; ``pause_s`` between pieces of its weights."""
    files = {file.name: file for file in sorted(folder.iterdir()) if file.is_file()}
    etags = {name: sha256(file.read_bytes()).hexdigest() for name, file in files.items()}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, *given: object) -> None:
            pass

        def _answer(self, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            name = path.removeprefix(f"/{repo}/resolve/{SHA}/").removeprefix(f"/{repo}/resolve/main/")
            if path == f"/api/models/{repo}" or path in (f"/api/models/{repo}/revision/{one}" for one in (SHA, "main")):
                siblings = [{"rfilename": name, "size": file.stat().st_size} for name, file in files.items()]
                self._send(json.dumps({"id": repo, "sha": SHA, "siblings": siblings}).encode(), with_body)
            elif path == f"/api/models/{repo}/tree/{SHA}":
                rows = [
                    {"type": "file", "path": name, "size": file.stat().st_size, "oid": etags[name]}
                    for name, file in files.items()
                ]
                self._send(json.dumps(rows).encode(), with_body)
            elif name in files:
                self._send(files[name].read_bytes(), with_body, {"ETag": f'"{etags[name]}"', "X-Repo-Commit": SHA})
            else:
                self.send_error(404)

        def _send(self, body: bytes, with_body: bool, headers: dict[str, str] | None = None) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            n_piece = max(1, len(body) // 8)
            for begin in range(0, len(body) if with_body else 0, n_piece):
                self.wfile.write(body[begin : begin + n_piece])
                if pause_s and len(body) > 100_000:
                    time.sleep(pause_s)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
