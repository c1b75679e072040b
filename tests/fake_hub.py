"""A small Hugging Face hub on a real socket: data sets from a dict, one of them gated if wanted.

It speaks what `huggingface_hub` and `datasets` ask for: info of a set, paths, trees and files of a revision.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import datasets
import pytest
from http_server import HttpServer, Request
from huggingface_hub import constants

Sets = Mapping[str, Mapping[str, bytes]]


def use_hub(patch: pytest.MonkeyPatch, url: str, home: Path, offline: bool = False, implicit: bool = True) -> None:
    """Have the hub's clients take `url` for the hub, and keep cache and token in `home`."""
    for key in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        patch.delenv(key, raising=False)
    for name, value in {
        "ENDPOINT": url, "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(home / "hub"), "HF_TOKEN_PATH": str(home / "token"), "HF_HUB_OFFLINE": offline,
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": not implicit, "HF_HUB_DISABLE_TELEMETRY": True,
    }.items():  # fmt: skip
        patch.setattr(constants, name, value)
    for name, value in {"HF_ENDPOINT": url, "HF_DATASETS_CACHE": home / "datasets", "HF_HUB_OFFLINE": offline}.items():
        patch.setattr(datasets.config, name, value)
    patch.setattr("time.sleep", lambda seconds: None)  # the hub's client waits between its tries


class FakeHub(HttpServer):
    """Serves `sets` (name -> file -> bytes) until `close`; `asked` holds each request: method, path, authorization.

    `main` is at `commit`; any other commit (40 hex digits) has the same files. Sets in `gated` want the token: the
    bearer of another is told that the terms are not accepted, and all others to log in.
    """

    def __init__(self, sets: Sets, commit: str = "c" * 40, gated: tuple[str, ...] = (), token: str = "") -> None:
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
            asked = map(unquote, re.findall(r"paths=([^&]*)", request.body.decode()))
            wanted = files if verb == "tree" else [file for file in asked if file in files]
            oid = {file: hashlib.sha1(files[file]).hexdigest() for file in wanted}
            listed = [{"type": "file", "path": f, "size": len(files[f]), "oid": oid[f]} for f in wanted]
            return request.reply(200, listed)
        if verb == "resolve" and rest in files:
            etag = f'"{hashlib.sha256(files[rest]).hexdigest()}"'
            return request.reply(200, files[rest], ETag=etag, X_Repo_Commit=revision)
        return request.reply(404, {}, X_Error_Code="EntryNotFound")
