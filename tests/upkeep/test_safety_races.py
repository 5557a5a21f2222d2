"""What is committed while something is removed: it stays whole, with its notes, whoever looked a moment before."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from upkeep_world import age, content, made

from persistable import LeaseTimeoutError, LocalStore
from persistable.catalog import Catalog
from persistable.stores import Entry, Store, WrapperStore
from persistable.upkeep import plan, remove
from persistable.upkeep.removal import Removed


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path, fsync=False)


class Bucket(WrapperStore):
    """A store that is no folder, as far as anybody can see."""

    def local_path(self, path: str) -> str | None:
        return None


class Listened(WrapperStore):
    """Something happens right after the key's folder was listed, at a given one of the times that it is."""

    def __init__(self, inner: Store, folder: str, number: int, then: Callable[[], object]) -> None:
        super().__init__(inner)
        self.folder, self.number, self.then = folder, number, then

    def list(self, folder: str) -> Iterator[Entry]:
        entries = list(super().list(folder))
        if folder == self.folder:
            self.number -= 1
            if self.number == 0:
                self.then()
        return iter(entries)


class Asleep(WrapperStore):
    """Something happens right before a manifest is written: its writer has put payload and notes, and sleeps."""

    def __init__(self, inner: Store, meanwhile: Callable[[], object]) -> None:
        super().__init__(inner)
        self.meanwhile = meanwhile

    def create(self, path: str, data: bytes) -> bool:
        if path.endswith("manifest.json"):
            self.meanwhile()
        return super().create(path, data)

    def replace(self, path: str, data: bytes) -> None:
        if path.endswith("manifest.json"):
            self.meanwhile()
        super().replace(path, data)


def not_yet_persisted(store: Store) -> Any:
    """Return one that is generated, and in memory only: its persist() asks for no lease."""
    asked = made("bytes", store)
    asked.generate(persist=False)
    return asked


def is_whole(store: Store) -> bool:
    """Whether the artifact can be loaded, and has its notes."""
    asked = made("bytes", store)
    notes = {"params.json", "generation.log"}
    return bool(asked.load() == content(0)) and notes <= set(os.listdir(asked.persist_filepath))


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("single_flight", [True, False])
def test_what_is_committed_after_leftovers_were_listed_stays(tmp_path: Path, number: int, single_flight: bool) -> None:
    store = LocalStore(tmp_path, fsync=False, single_flight=single_flight)
    writer = not_yet_persisted(store)
    folder = writer.persist_filepath
    folder.mkdir(parents=True)
    (folder / "params.json").write_text("{}")
    (folder / "payload.0123abcd.bin").write_text("left over")
    age(tmp_path)
    found = plan(store)
    assert len(found) == 2
    found.store = Listened(store, writer.key.folder, number, writer.persist)
    found.carry_out()
    if not writer.exists():  # it is not listed so often
        writer.persist()
    assert is_whole(store)


@pytest.mark.parametrize("number", range(1, 6))
def test_what_is_committed_after_a_removal_has_looked_stays_whole_or_goes_as_a_whole(
    store: LocalStore, number: int
) -> None:
    made("bytes", store).load_generate()
    writer = not_yet_persisted(store)
    remove(Listened(store, writer.key.folder, number, writer.persist), writer.key)
    asked = made("bytes", store)
    if asked.exists():
        assert is_whole(store)
    else:
        assert asked.load_generate() == content(0)


@pytest.mark.parametrize("single_flight", [True, False])
def test_a_removal_beside_a_writer_who_is_about_to_commit_leaves_payload_and_notes(
    tmp_path: Path, single_flight: bool
) -> None:
    removed: list[Removed] = []

    def clean() -> None:
        removed.append(remove(LocalStore(tmp_path, fsync=False, single_flight=single_flight), writer.key))

    writer = not_yet_persisted(Asleep(LocalStore(tmp_path, fsync=False, single_flight=single_flight), clean))
    writer.persist()
    assert removed[0].files == 0
    assert is_whole(LocalStore(tmp_path))


def test_a_lease_that_is_dated_ahead_makes_nothing_old(tmp_path: Path) -> None:
    def clean() -> None:
        lease = writer.persist_filepath / "lease" / "0"
        lease.parent.mkdir()
        lease.write_text('{"state": "failed"}')
        os.utime(lease, (time.time() + 7200,) * 2)
        remove(LocalStore(tmp_path, fsync=False), writer.key)

    writer = not_yet_persisted(Asleep(LocalStore(tmp_path, fsync=False), clean))
    writer.persist()
    assert is_whole(LocalStore(tmp_path))


def test_notes_that_somebody_has_written_since_stay(store: LocalStore) -> None:
    asked = made("bytes", store)
    asked.load_generate()
    log = asked.persist_filepath / "generation.log"

    class Rewritten(WrapperStore):
        def delete(self, path: str) -> None:
            super().delete(path)
            if path.endswith("manifest.json"):
                log.write_text("a newcomer's")

    removed = remove(Rewritten(store), asked.key)
    assert log.read_text() == "a newcomer's"
    assert [left.path for left in removed.left] == [f"{asked.key.folder}/generation.log"]


def test_a_journal_that_somebody_goes_on_writing_stays(store: LocalStore) -> None:
    asked = made("bytes", store)
    asked.load_generate()
    journal = asked.persist_filepath / "journal.log"
    journal.write_text("")
    age(store.path)

    class Resumed(WrapperStore):
        def delete(self, path: str) -> None:
            super().delete(path)
            if path.endswith("manifest.json"):
                journal.write_text("a trial\n")

    remove(Resumed(store), asked.key)
    assert journal.read_text() == "a trial\n"


def test_one_that_is_made_again_and_again_is_told_of(store: LocalStore) -> None:
    asked = made("bytes", store)
    asked.load_generate()

    class Busy(WrapperStore):
        def list(self, folder: str) -> Iterator[Entry]:
            if folder == asked.key.folder:
                not_yet_persisted(store).persist()
            return super().list(folder)

    with pytest.raises(LeaseTimeoutError, match="made it again each of the"):
        remove(Busy(store), asked.key)
    assert is_whole(store)


def test_what_was_put_beside_leftovers_since_the_plan_stays_with_them(store: LocalStore) -> None:
    folder = made("bytes", store).persist_filepath
    folder.mkdir(parents=True)
    (folder / "params.json").write_text("{}")
    age(store.path)
    found = plan(store)
    (folder / "journal.log").write_text("restored from a backup, as old as it was")
    age(folder)
    (outcome,) = found.carry_out()
    assert not outcome.removed
    assert "has been put there since" in outcome.note
    assert set(os.listdir(folder)) == {"params.json", "journal.log"}


# ---------------------------------------------------------------------------------------------------------------------
# What is made from something between a plan, or a look of the catalogue, and its removal


def old(kind: str, store: Store, n: int, upstreams: Any = None) -> Any:
    asked = made(kind, store, n, upstreams)
    asked.load_generate()
    age(asked.persist_filepath)
    return asked


@pytest.mark.parametrize("in_a_bucket", [True, False])
def test_a_catalogue_that_has_looked_before_plans_with_what_is_there_now(store: LocalStore, in_a_bucket: bool) -> None:
    data, unused = old("bytes", store, 1), old("bytes", store, 2)
    old("pickle", store, 1)
    catalog = Catalog(Bucket(store) if in_a_bucket else store)
    assert len(catalog) == 3
    old("pickle", store, 2, [data])
    found = plan(catalog, keep="pickle", unreachable=True)
    assert {record.key for record, _ in found.artifacts} == {unused.key}


@pytest.mark.parametrize("in_a_bucket", [True, False])
@pytest.mark.parametrize("by", ["name", "key"])
def test_what_is_kept_and_made_since_the_plan_keeps_what_it_was_made_from(
    store: LocalStore, in_a_bucket: bool, by: str
) -> None:
    data, unused = old("bytes", store, 1), old("bytes", store, 2)
    model = made("pickle", store, 1, {"parts": made("array", store, 1, {"data": data})})
    other = old("pickle", store, 5)
    found = plan(
        Bucket(store) if in_a_bucket else store, keep="pickle" if by == "name" else other.key, unreachable=True
    )
    assert {record.key for record, _ in found.artifacts} == {data.key, unused.key}
    model.tracked_persistable_dependencies["parts"].load_generate()
    model.load_generate()
    stays = {outcome.key: outcome.note for outcome in found.carry_out() if not outcome.removed}
    if by == "name":
        assert list(stays) == [data.key]
        assert "something that is kept has been made from it since" in stays[data.key]
    else:  # it is another one that is kept
        assert not stays
