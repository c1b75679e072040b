"""A small Hugging Face hub on a real socket: data sets from a dict, one of them gated if wanted.

It speaks what `huggingface_hub` and `datasets` ask for: info of a set, paths, trees and files of a revision.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import datasets
import pytest
from huggingface_hub import constants


def use_hub(
    monkeypatch: pytest.MonkeyPatch, url: str, home: Path, offline: bool = False, implicit: bool = True
) -> None:
    """Have the hub's clients take `url` for the hub, and keep cache and token in `home`."""
    for key in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(key, raising=False)
    for name, value in {
        "ENDPOINT": url, "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(home / "hub"), "HF_TOKEN_PATH": str(home / "token"), "HF_HUB_OFFLINE": offline,
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": not implicit, "HF_HUB_DISABLE_TELEMETRY": True,
    }.items():  # fmt: skip
        monkeypatch.setattr(constants, name, value)
    for name, value in {"HF_ENDPOINT": url, "HF_DATASETS_CACHE": home / "datasets", "HF_HUB_OFFLINE": offline}.items():
        monkeypatch.setattr(datasets.config, name, value)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the hub's client waits between its tries


class FakeHub:
    """Serves `sets` (name -> file -> bytes) until `close`; `asked` holds each request: method, path, authorization.

    `main` is at `commit`; any other commit (40 hex digits) has the same files. Sets in `gated` want the token: the
    bearer of another is told that the terms are not accepted, and all others to log in.
    """

    def __init__(
        self,
        sets: Mapping[str, Mapping[str, bytes]],
        commit: str = "c" * 40,
        gated: tuple[str, ...] = (),
        token: str = "hf_nobody",
    ) -> None:
        self.asked: list[tuple[str, str, str]] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = unquote(urlsplit(self.path).path)
                bearer = self.headers.get("Authorization", "")
                owner.asked.append((self.command, path, bearer))
                match = re.fullmatch(r"(?:/api)?/datasets/([^/]+/[^/]+)(?:/([a-z-]+)/([^/]+)(?:/(.*))?)?", path)
                if not match or match[1] not in sets:
                    return self.reply(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
                name, verb, revision, rest = match.groups()
                if name in gated and bearer != f"Bearer {token}":
                    return self.reply(403 if bearer else 401, b'{"error": "gated"}', {"X-Error-Code": "GatedRepo"})
                if revision in (None, "main"):
                    revision = commit
                elif not re.fullmatch(r"[0-9a-f]{40}", revision):
                    return self.reply(404, b'{"error": "Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"})
                files = sets[name]
                if verb in (None, "revision"):
                    siblings = [{"rfilename": file} for file in files]
                    return self.json({"id": name, "sha": revision, "private": False, "siblings": siblings})
                if verb == "tree":
                    return self.json([self.entry(file, files[file]) for file in files])
                if verb == "paths-info":
                    wanted = map(unquote, re.findall(r"paths=([^&]*)", body.decode()))
                    return self.json([self.entry(f, files[f]) for f in wanted if f in files])
                if verb == "resolve" and rest in files:
                    etag = f'"{hashlib.sha256(files[rest]).hexdigest()}"'
                    return self.reply(200, files[rest], {"ETag": etag, "X-Repo-Commit": revision})
                return self.reply(404, b"{}", {"X-Error-Code": "EntryNotFound"})

            do_HEAD = do_POST = do_GET

            @staticmethod
            def entry(file: str, content: bytes) -> dict[str, object]:
                return {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

            def json(self, value: object) -> None:
                self.reply(200, json.dumps(value).encode(), {})

            def reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
