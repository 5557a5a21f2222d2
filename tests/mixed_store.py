"""A small store with every kind of entry that one may hold: whole, damaged, newer, being made, failed, foreign, 1.x.

Whatever shows, checks or cleans a store is tried on it. The hostile names and values in it are all that a store can
bring from elsewhere.
"""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from persistable import LocalStore, Persistable, PersistableParams
from persistable.artifacts import claim
from persistable.keys import ArtifactKey
from persistable.manifest import Manifest

MADE_BY_1_3_1 = Path(__file__).parent / "data" / "persistable_1"

SCRIPT = "<script>alert('params')</script>"
HOSTILE: dict[str, Any] = {
    "html": SCRIPT,
    "control": "\x1b[31mred\x1b[0m\r\n\x07\x00",
    "long": "x" * 10_000,
    "direction": "abc\u202egnp.exe",
    "emoji": "🙂 日本語 é e\u0301",
    "key \"with\" 'quotes' & <b>": 1,
    "__proto__": {"constructor": 1},
    "nested": [{"a": [1, 2.5, None, True]}, float("nan")],
}
"""Params that a page or a terminal must show harmlessly."""

FOREIGN_FOLDER = "<b onmouseover=alert(1)>"
"""A name that no payload can have, but a folder."""


@dataclass
class DataParams(PersistableParams):
    n: int


class DataP(Persistable[list[int], DataParams]):
    version = "1"

    def _generate_payload(self) -> list[int]:
        self.logger.info("Counting.")
        return list(range(self.params.n))


@dataclass
class ModelParams(PersistableParams):
    alpha: float
    options: dict[str, Any] = field(default_factory=dict)


class ModelP(Persistable[dict[str, Any], ModelParams]):
    def _generate_payload(self) -> dict[str, Any]:
        if self.params.options.get("fail"):
            raise ZeroDivisionError(f"on purpose {SCRIPT}")
        data = self.tracked_persistable_dependencies["data"].payload
        self.metrics = {"rmse": self.params.alpha / 10, "scores": {"mae": self.params.alpha}, "worst": float("inf")}
        self.tags = ["best", SCRIPT] if self.params.options else ["plain"]
        return {"mean": sum(data) / len(data) * self.params.alpha}


@dataclass
class MixedStore:
    """The store, and what is where in it.

    Attributes
    ----------
    folder, store
        The store, as a folder and as an object.
    data, models
        The whole chain: one upstream, and three that are made from it; the last of these is hostile.
    damaged, gone, newer
        Keys of artifacts: one byte of its manifest is flipped; its payload file is gone; its manifest is of schema 99.
    half_deleted, failed, generating
        Keys without a manifest: only a payload is left; a generation raised; one is going on, in this process.
    persistable_1
        The file of a payload of persistable 1.x.
    foreign
        Paths, relative to the folder, of what is not ours: files and folders, with a ``/`` behind their names.
    """

    folder: Path
    store: LocalStore
    data: DataP
    models: list[ModelP]
    damaged: ArtifactKey
    gone: ArtifactKey
    newer: ArtifactKey
    half_deleted: ArtifactKey
    failed: ArtifactKey
    generating: ArtifactKey
    persistable_1: str
    foreign: list[str]
    lease: Any

    @property
    def whole(self) -> list[ArtifactKey]:
        """The keys whose manifests are fine."""
        return [self.data.key, *(model.key for model in self.models), self.gone]

    def close(self) -> None:
        """End the generation that is going on."""
        self.lease.__exit__(None, None, None)

    def __enter__(self) -> MixedStore:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def make_mixed_store(folder: Path) -> MixedStore:
    """Make the store in `folder`. A generation goes on in it until it is closed, or this process ends."""
    store = LocalStore(folder, fsync=False)
    data = DataP(store, DataParams(10), payload_name="data")
    models = [model_p(store, data, alpha) for alpha in (0.5, 2.0)] + [model_p(store, data, 3.0, **HOSTILE)]
    for model in models:
        model.load_generate()

    damaged = made(model_p(store, data, 10.0))
    path = folder / damaged.folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"rmse": 1.0', b'"rmse": 0.0'))

    gone = made(model_p(store, data, 11.0))
    for payload in (folder / gone.folder).glob("payload.*"):
        payload.unlink()

    newer = made(model_p(store, data, 12.0))
    path = folder / newer.folder / "manifest.json"
    path.write_bytes(of_schema_99(path.read_bytes()))

    half_deleted = made(model_p(store, data, 13.0))
    (folder / half_deleted.folder / "manifest.json").unlink()

    failing = model_p(store, data, 14.0, fail=True)
    with pytest.raises(ZeroDivisionError):
        failing.load_generate()

    generating = model_p(store, data, 15.0).key
    lease = claim(store, generating, None, lambda message: None)
    assert lease is not None
    thread = threading.Thread(target=lease.__enter__)  # in a thread of its own: this one is to wait for nothing
    thread.start()
    thread.join()

    for file in MADE_BY_1_3_1.glob("points_p*"):
        shutil.copy(file, folder)
    old = next(file.name for file in MADE_BY_1_3_1.glob("points_p*.persistable"))
    return MixedStore(
        folder=folder,
        store=store,
        data=data,
        models=models,
        damaged=damaged,
        gone=gone,
        newer=newer,
        half_deleted=half_deleted,
        failed=failing.key,
        generating=generating,
        persistable_1=old,
        foreign=put_foreign(folder, models[0].key),
        lease=lease,
    )


def model_p(store: LocalStore, data: DataP, alpha: float, **options: Any) -> ModelP:
    return ModelP(store, ModelParams(alpha, options), {"data": data}, payload_name="model")


def made(persistable: Persistable[Any, Any]) -> ArtifactKey:
    persistable.load_generate()
    return persistable.key


def of_schema_99(data: bytes) -> bytes:
    """Return a manifest as a newer persistable would write it."""
    from persistable._integrity import digest

    body = data.partition(b"\n")[2].replace(b'"schema": 1,', b'"schema": 99,')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("persistable.manifest.SCHEMA", 99)
        return Manifest.parse(b'{"digest": "%b",\n%b' % (digest(body).encode(), body)).data


def put_foreign(folder: Path, key: ArtifactKey) -> list[str]:
    """Put into a store what is not ours, at every level; return the paths."""
    (folder / "notes.txt").write_text("somebody's notes")
    (folder / ".DS_Store").write_bytes(b"\x00")
    (folder / "pictures").mkdir()
    (folder / "pictures" / "holiday.jpg").write_bytes(b"\xff\xd8")
    (folder / "model" / "README.md").write_text("what these are")
    (folder / "model" / "not-a-key").mkdir()
    (folder / "model" / "not-a-key" / "manifest.json").write_text(json.dumps({"digest": "none"}))
    (folder / FOREIGN_FOLDER).mkdir()
    (folder / FOREIGN_FOLDER / "\x1b[31m.txt").write_text("")
    (folder / key.folder / "analysis.ipynb").write_text("{}")  # beside a manifest: it is not ours either
    return ["notes.txt", "pictures/", "model/README.md", "model/not-a-key/", f"{FOREIGN_FOLDER}/"]
