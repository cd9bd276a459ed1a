"""A stand-in for the Hub's HTTP API on the loopback: what uploading and fetching a small repository needs."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


class Hub(ThreadingHTTPServer):
    """Repositories as name → file → bytes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join()
        self.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self):
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) if not self.chunked() else self.chunks()
        if path == "/api/repos/create":
            told = json.loads(body)
            name = "/".join(filter(None, (told.get("organization"), told["name"])))
            self.server.repositories.setdefault(name, {})
            return self.answer({"url": f"{self.server.address}/{name}"})
        if path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        repository, rest = self.repository(path.removeprefix("/api/models/"))
        if repository is None:
            return self.missing()
        name = path.removeprefix("/api/models/").removesuffix(rest).rstrip("/")
        if rest.startswith("preupload/"):
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            return self.answer({"files": files})
        if rest.startswith("commit/"):
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    repository[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            return self.answer(
                {"commitOid": COMMIT, "commitUrl": f"{self.server.address}/{name}/commit/{COMMIT}", "success": True}
            )
        return self.missing()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/api/models/"):
            repository, rest = self.repository(path.removeprefix("/api/models/"))
            if repository is None:
                return self.missing()
            if rest.startswith("tree/"):
                return self.answer([self.entry(name, content) for name, content in repository.items()])
            files = [{"rfilename": name} for name in repository]
            return self.answer({"id": "repo", "sha": COMMIT, "siblings": files, "private": False, "tags": []})
        repository, rest = self.repository(path.lstrip("/"))
        name = rest.split("/", 2)[2] if rest.startswith("resolve/") else None
        if repository is None or name not in repository:
            return self.missing()
        content = repository[name]
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)
        return None

    do_HEAD = do_GET

    def entry(self, name, content):
        return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def repository(self, path):
        for name, files in self.server.repositories.items():
            if path == name or path.startswith(name + "/"):
                return files, path.removeprefix(name).lstrip("/")
        return None, ""

    def answer(self, value):
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def missing(self):
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def chunked(self):
        return "chunked" in (self.headers.get("Transfer-Encoding") or "")

    def chunks(self):
        parts = []
        while size := int(self.rfile.readline().strip() or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, *_):
        pass
