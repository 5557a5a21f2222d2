"""One odd entry in a store, and the others are verified, measured, planned, copied and removed all the same.

A digest is no seal: whoever can write to a store can write a manifest that holds anything, and whose digest is right.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from upkeep_world import age, content, made

from persistable import ArtifactCorruptError, LocalStore
from persistable._integrity import digest
from persistable.catalog import Catalog
from persistable.keys import ArtifactKey
from persistable.upkeep import copy, diagnose, plan, remove, usage, verify

KEY = "ab" * 16


def forged(store: LocalStore, head: Any = None, payload: Any = None, sections: Any = None) -> ArtifactKey:
    """Write a manifest with odd content and the right digest; beside it a payload that is what it says."""
    data = b"[]"
    said: dict[str, Any] = {
        "schema": 1,
        "key": KEY,
        "payload_name": "odd",
        "version": None,
        "code": {"files": {}, "parts": {}},
        "payload": {
            "file": "payload.01234567.json",
            "format": "json",
            "format_version": 1,
            "size": len(data),
            "digest": digest(data),
            "files": None,
            "type": "builtins.list",
            "summary": "list of 0",
        },
    }
    said |= head or {}
    if payload is not None:
        said["payload"] |= payload
    generated = {"at": "2026-01-01T00:00:00+00:00", "seconds": 1.0, "host": "h", "user": "u", "class": "c"}
    lines = {"params": {}, "dependencies": {}, "generated": generated, "code": {}, "metrics": {}, "tags": []}
    parts = [f'"artifact": {json.dumps(said)}']
    parts += [f'"{name}": {json.dumps(value)}' for name, value in {**lines, **(sections or {})}.items()]
    body = (",\n".join(parts) + "}\n").encode()
    folder = store.path / "odd" / KEY
    folder.mkdir(parents=True)
    (folder / "payload.01234567.json").write_bytes(data)
    (folder / "params.json").write_text('{"odd": {"params": {}}}')
    (folder / "manifest.json").write_bytes(b'{"digest": "%b",\n%b' % (digest(body).encode(), body))
    return ArtifactKey(KEY, "odd")


def _nested(depth: int) -> Any:
    deep: Any = "x"
    for _ in range(depth):
        deep = [deep]
    return deep


def _upstream(**said: Any) -> dict[str, Any]:
    return {"sections": {"dependencies": {"a": {"payload_name": "m", "key": "0" * 32, "digest": None} | said}}}


ODD: dict[str, dict[str, Any]] = {
    "no payload": {"head": {"payload": None}},
    "a payload that is a list": {"head": {"payload": [1]}},
    "a schema that is text": {"head": {"schema": "x"}},
    "a schema that is no number": {"head": {"schema": None}},
    "a file out of the folder": {"payload": {"file": "../../secret.txt"}},
    "a file with NUL": {"payload": {"file": "payload.01234567.\x00"}},
    "a file that is a number": {"payload": {"file": 5}},
    "a size that is text": {"payload": {"size": "big"}},
    "a negative size": {"payload": {"size": -5}},
    "files out of the folder": {"payload": {"files": {"../../../secret.txt": [3, "xxh3:" + "0" * 32]}}},
    "files that are a list": {"payload": {"files": [1]}},
    "files without digests": {"payload": {"files": {"a": 1}}},
    "a digest that is a number": {"payload": {"digest": 5}},
    "a format that is none": {"payload": {"format": {"a": 1}}},
    "a pointer that leads nowhere": {"payload": {"format": "cloud", "file": "payload.01234567.cloud.json"}},
    "a time that is a number": {"sections": {"generated": {"at": 5}}},
    "a time before all times": {"sections": {"generated": {"at": "0001-01-01T00:00:00+14:00"}}},
    "a time that is none": {"sections": {"generated": {"at": "zzz\x1b[31m", "seconds": "NaN", "host": {"a": 1}}}},
    "nothing of how it was made": {"sections": {"generated": []}},
    "grown from a number": {"sections": {"generated": {"at": "2026-01-01T00:00:00+00:00", "grown_from": 5}}},
    "params that are a list": {"sections": {"params": [1, 2]}},
    "params without end": {"sections": {"params": {"a": _nested(900)}}},
    "an upstream that is a number": {"sections": {"dependencies": {"a": 1}}},
    "an upstream out of the store": _upstream(payload_name="../../..", key="etc"),
    "an upstream of odd types": _upstream(payload_name={"x": 1}, key=[1], digest=5),
    "an upstream with a field more": _upstream(more=1),
    "metrics that are no numbers": {"sections": {"metrics": {"a": {"$float": "zz"}}}},
    "tags that are numbers": {"sections": {"tags": [1, {"a": 2}, None]}},
    "code that is a list": {"head": {"code": [1]}},
}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "here", fsync=False)


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_manifest_is_its_own_problem(store: LocalStore, tmp_path: Path, odd: str) -> None:
    key = forged(store, **ODD[odd])
    good = made("bytes", store)
    good.load_generate()
    age(store.path)
    there = LocalStore(tmp_path / "there", fsync=False)

    assert [finding.level for finding in verify(store) if finding.key == good.key] == ["ok"]
    assert {row.payload_name for row in usage(store).names} == {"odd", "bytes"}
    assert not [finding for finding in diagnose(store) if "what lies there cannot be read" in finding.problem]
    found = plan(store, older_than=0, larger_than=0)
    assert good.key in {record.key for record, _ in found.artifacts}
    str(found), found.to_dict()
    done = {copied.key: copied.state for copied in copy(store, [key, good.key], there)}
    assert done[good.key] == "copied"
    assert {path.parent.parent.name for path in tmp_path.rglob("manifest.json")} <= {"odd", "bytes"}
    assert {outcome.removed for outcome in found.carry_out() if outcome.key == good.key} == {True}
    if (store.path / key.folder / "manifest.json").exists():
        remove(store, key)
    assert not (store.path / key.folder / "manifest.json").exists()


def test_an_upstream_by_an_odd_name_is_missing_and_nothing_is_written_for_it(store: LocalStore, tmp_path: Path) -> None:
    key = forged(store, **_upstream(payload_name="../evil", key="cd" * 16))
    evil = store.path.parent / "evil" / ("cd" * 16)
    evil.mkdir(parents=True)
    (evil / "manifest.json").write_bytes((store.path / key.folder / "manifest.json").read_bytes())
    there = LocalStore(tmp_path / "team" / "there", fsync=False)
    upstream, copied = copy(store, key, there)
    assert (upstream.state, copied.state) == ("missing", "copied")
    assert "no name and key" in upstream.problem
    assert os.listdir(tmp_path / "team") == ["there"]
    assert os.listdir(there.path) == ["odd"]


@pytest.mark.parametrize("name", ["../evil", "..", "a/b", ""])
def test_a_key_by_an_odd_name_is_not_copied(store: LocalStore, tmp_path: Path, name: str) -> None:
    good = made("bytes", store)
    good.load_generate()
    failed, copied = copy(store, [ArtifactKey(KEY, name), good.key], tmp_path / "there")
    assert (failed.state, copied.state) == ("failed", "copied")
    assert os.listdir(tmp_path / "there") == ["bytes"]


def test_what_is_kept_must_say_what_it_was_made_from_in_a_way_that_is_known(store: LocalStore) -> None:
    forged(store, **_upstream(more=1))
    with pytest.raises(ArtifactCorruptError, match="no telling what it was made from"):
        plan(store, keep="odd", unreachable=True)


@pytest.mark.parametrize(
    "said", ["[[[[" * 50_000, "[]", "5", '{"pid": "x", "host": {}, "since": 5}', '{"state": ["failed"], "pid": 1e400}']
)
def test_an_odd_lease_stops_nothing(store: LocalStore, said: str) -> None:
    folder = store.path / "odd" / KEY
    (folder / "lease").mkdir(parents=True)
    (folder / "lease" / "0").write_text(said)
    good = made("bytes", store)
    good.load_generate()
    age(store.path)
    assert {record.state for record in Catalog(store)} > {"whole"}
    diagnose(store)
    usage(store)
    assert {outcome.removed for outcome in plan(store, older_than=0).carry_out()} == {True}
    assert not folder.exists()
    assert not good.exists()


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        '{"op_code": 9, "trial_id": [1], "system_attr": {"persistable:worker": {"pid": "\\u0000", "host": 5}}}',
        '{"op_code": 4, "system_attrs": []}',
    ],
)
def test_an_odd_journal_stops_nothing(store: LocalStore, line: str) -> None:
    good = made("bytes", store)
    good.load_generate()
    (good.persist_filepath / "journal.log").write_text(f"{line}\n")
    assert remove(store, good.key).left == ()


def test_a_name_that_is_no_text_stops_nothing(store: LocalStore) -> None:
    good = made("bytes", store)
    good.load_generate()
    for name in (b"odd\nname", b"bad\xff"):
        (store.path / os.fsdecode(name)).mkdir()
        (good.persist_filepath / os.fsdecode(name)).write_text("")
    assert usage(store).names[0].artifacts == 1
    assert [finding.level for finding in verify(store)] == ["ok"]
    assert len(remove(store, good.key).left) == 2


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="somebody else's folder needs another user")
def test_a_folder_that_others_may_not_enter_stops_nothing(for_all: Path) -> None:
    store = LocalStore(for_all / "here", fsync=False)
    good, theirs = made("bytes", store, 1), made("bytes", store, 2)
    for asked in (good, theirs):
        asked.load_generate()
        assert asked.load() == content(asked.params.n)
    code = (
        "import os, sys; from persistable.upkeep import plan, usage; "
        "usage(sys.argv[2]); plan(sys.argv[2], older_than=0); "  # all that is imported, while it may be
        "os.setgid(65534); os.setuid(65534); folder = sys.argv[1]; "
        "print(usage(folder).names[0].artifacts, len(plan(folder)))"
    )
    os.chmod(theirs.persist_filepath, 0o700)
    (for_all / "none").mkdir()
    environment = {**os.environ, "PERSISTABLE_INDEX_DIR": "/nonexistent"}
    said = subprocess.run(
        [sys.executable, "-c", code, store.path, for_all / "none"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert said.stdout == "1 0\n", said.stderr
