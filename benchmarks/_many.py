"""A store of very many artifacts, written fast: each a folder with the files that a commit leaves, by plain writes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from persistable.manifest import Manifest

__all__ = ["add_artifacts", "many_artifacts"]

_CODE = {"sources": {"/home/ann/models.py": "a" * 32}, "parts": {f"method_{number}": "b" * 32 for number in range(6)}}
_GENERATED = {
    "at": "2026-01-01T00:00:00+00:00",
    "seconds": 0.12,
    "host": "laptop",
    "user": "ann",
    "pid": 4711,
    "python": "3.11.7",
    "packages": {"numpy": "2.1.0", "pandas": "3.0.0", "persistable": "2.0.0"},
    "git": {"commit": "c" * 40, "dirty": False},
    "class": "models.ModelP",
}


_MADE = 1.7e9  # when the first ones were: what is young is looked at again and again


def many_artifacts(folder: Path, count: int) -> Path:
    """Return `folder`, with `count` old artifacts in it: one of ten is ``data``, the others are ``model``."""
    add_artifacts(folder, 0, count)
    for name in folder.iterdir():
        for key in name.iterdir():
            os.utime(key, (_MADE, _MADE))
        os.utime(name, (_MADE, _MADE))
    return folder


def add_artifacts(folder: Path, start: int, stop: int) -> None:
    """Make the artifacts from `start` to `stop`, each with params of its own."""
    for number in range(start, stop):
        name = "model" if number % 10 else "data"
        key = hashlib.sha256(str(number).encode()).hexdigest()[:32]
        place = folder / name / key
        place.mkdir(parents=True)
        file = f"payload.{number:08x}.pickle"
        params = {"n": number, "alpha": number / 7, "seed": number % 13, "name": "abc"}
        at = f"2026-01-{number % 28 + 1:02}T{number % 24:02}:{number % 60:02}:00+00:00"
        files = {
            "manifest.json": _manifest(name, key, file, number, params, at).data,
            "params.json": json.dumps({name: {"params": params}}).encode(),
            "generation.log": b"Generating.\n",
            file: b"x" * 100,
        }
        for file, data in files.items():
            with open(place / file, "xb", buffering=0) as target:
                target.write(data)


def _manifest(name: str, key: str, file: str, number: int, params: dict[str, object], at: str) -> Manifest:
    payload = {
        "file": file,
        "format": "pickle",
        "format_version": 1,
        "size": 100,
        "digest": "xxh3:" + "d" * 32,
        "files": None,
        "type": "builtins.dict",
        "summary": "dict of 10",
    }
    head = {"key": key, "payload_name": name, "version": None, "code": ["xxh3:" + "e" * 32] * 2, "payload": payload}
    sections = {
        "params": params,
        "dependencies": {},
        "generated": _GENERATED | {"at": at},
        "code": _CODE,
        "metrics": {"rmse": number / 1000},
        "tags": ["a"],
    }
    return Manifest.compose(head, sections)
