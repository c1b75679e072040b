"""A small Hugging Face hub on a real socket: data sets from a dict, one of them gated if wanted.

It speaks what `huggingface_hub` and `datasets` ask for: info of a set, paths, trees and files of a revision.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from http_server import HttpServer, Request


def in_client(code: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, since the hub's client reads its settings when it is imported."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING")) and "proxy" not in k.lower()}
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        env=clean | {"PYTHONPATH": root, "HF_HUB_DISABLE_TELEMETRY": "1"} | env,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


class FakeHub(HttpServer):
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
        self.sets, self.commit, self.gated, self.token = sets, commit, gated, token
        self.asked: list[tuple[str, str, str]] = []
        super().__init__()

    def answer(self, request: Request) -> None:
        path, bearer = unquote(urlsplit(request.path).path), request.headers.get("Authorization", "")
        self.asked.append((request.command, path, bearer))
        match = re.fullmatch(r"(?:/api)?/datasets/([^/]+/[^/]+)(?:/([a-z-]+)/([^/]+)(?:/(.*))?)?", path)
        if not match or match[1] not in self.sets:
            return request.reply(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        name, verb, revision, rest = match.groups()
        if name in self.gated and bearer != f"Bearer {self.token}":
            return request.reply(403 if bearer else 401, {"error": "gated"}, X_Error_Code="GatedRepo")
        if revision in (None, "main"):
            revision = self.commit
        elif not re.fullmatch(r"[0-9a-f]{40}", revision):
            return request.reply(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
        files = self.sets[name]
        if verb in (None, "revision"):
            siblings = [{"rfilename": file} for file in files]
            return request.reply(200, {"id": name, "sha": revision, "private": False, "siblings": siblings})
        if verb in ("tree", "paths-info"):
            wanted = files if verb == "tree" else map(unquote, re.findall(r"paths=([^&]*)", request.body.decode()))
            return request.reply(200, [entry(file, files[file]) for file in wanted if file in files])
        if verb == "resolve" and rest in files:
            etag = f'"{hashlib.sha256(files[rest]).hexdigest()}"'
            return request.reply(200, files[rest], ETag=etag, X_Repo_Commit=revision)
        return request.reply(404, {}, X_Error_Code="EntryNotFound")


def entry(file: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
