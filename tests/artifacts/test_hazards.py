"""HAZARDS.md, "Writes" and "Locks and sharing": where each line is tested, or why it cannot happen here.

Writes

- Params after the payload, neither atomically: ``test_crashes`` kills between any two calls; a truncated pickle is made
  again, ``test_corruption``.
- A failed pickle published, and ``exists()`` true: below.
- Temp files on another file system: ``stores/test_local``, ``test_a_payload_from_another_file_system_…``. Temp files
  leaked on KeyboardInterrupt: ``test_sweep``, ``test_ctrl_c_…``.
- A good value overwritten by a marker: below.
- A JSON sidecar that failed to serialise after the payload had been written: below.
- Shards loaded back in another order: a folder payload keeps its names, and its listing is sorted; below. The CSV round
  trip: ``fileio/test_table_formats``.
- Metadata stored before content: below, and ``test_crashes``.

Locks and sharing

- No single flight: ``test_single_flight``. No second look: below.
- A lock that entered its body unlocked when it timed out: below.
- Liveness by pid with no host: ``test_leases``, ``test_a_process_of_another_machine_…``. A flag left by a SIGKILL:
  ``test_single_flight``, ``test_sixteen_waiters_survive_the_kill_of_the_owner``. File-system events: none are used;
  waiters look (``_leases.acquire``).
- Readers that take the lock: ``test_single_flight``, ``test_a_reader_never_waits_…``.
- SQLite on a network drive: there is none; every record is a small file of its own. chmod: ``test_disks``,
  ``test_files_honour_umask_…``.
- Garbage collection that deletes what it does not know: ``test_sweep``.
- Stale listing caches: the kit, ``test_list_sees_what_another_object_has_just_written``. "Latest" by time: the manifest
  says which payload counts; below. Multi-part uploads: the store for buckets is not there yet.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, ClassVar

import pytest
from artifact_world import FolderIO, WaitingP, WorldParams, expected, left_in

import persistable
from persistable import CorruptArtifactWarning, LeaseTimeoutError, LocalStore, PersistError
from persistable._integrity import files_below
from persistable.stores import WrapperStore
from persistable.testing.faults import Fault, FaultyStore


class _Unpicklable:
    def __reduce__(self) -> Any:
        raise ZeroDivisionError("on purpose")


def test_a_pickle_that_fails_half_way_is_not_published(tmp_path: Path) -> None:
    class HalfP(WaitingP):
        def _generate_payload(self) -> Any:
            return [b"a megabyte" * 100_000, _Unpicklable()]

    asked = HalfP(tmp_path, WorldParams())
    with pytest.raises(PersistError, match="PickleFileIO") as caught:
        asked.load_generate()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert not asked.exists()
    assert not any("payload" in name for name in left_in(asked.persist_filepath))


@pytest.mark.parametrize("fault", ["generation", "format"])
def test_a_good_artifact_stays_until_a_better_one_is_whole(tmp_path: Path, fault: str) -> None:
    class BrokenIO(FolderIO):
        format_id: ClassVar[str] = "test.broken"

        def _save(self, payload: bytes, filepath: Path) -> None:
            super()._save(payload[:3], filepath)
            raise OSError("on purpose")

    WaitingP(tmp_path, WorldParams()).generate()
    asked = WaitingP(
        tmp_path, WorldParams(fail=fault == "generation"), payload_io=BrokenIO() if fault == "format" else None
    )
    seen = []
    asked._validate_payload = lambda payload: seen.append(WaitingP(tmp_path, WorldParams()).load())  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError if fault == "generation" else PersistError):
        asked.generate()
    assert seen == ([] if fault == "generation" else [expected(WorldParams())])
    assert WaitingP(tmp_path, WorldParams()).load() == expected(WorldParams())


def test_a_record_that_is_not_json_leaves_no_payload_behind(tmp_path: Path) -> None:
    class MeasuredP(WaitingP):
        def _generate_payload(self) -> bytes:
            self.tags.append(object())  # type: ignore[arg-type]
            return super()._generate_payload()

    asked = MeasuredP(tmp_path, WorldParams())
    with pytest.raises(PersistError, match="tags: a object is no word"):
        asked.load_generate()
    assert not asked.exists()
    assert not any("payload" in name for name in left_in(asked.persist_filepath))
    assert asked.payload == expected(WorldParams())


def test_the_files_of_a_folder_are_listed_in_one_order_on_every_file_system(tmp_path: Path) -> None:
    for number in (10, 2, 1, 20, 3):
        (tmp_path / f"shard {number:02}").write_bytes(b"")
    assert [name for name, _ in files_below(tmp_path)] == [f"shard {number:02}" for number in (1, 2, 3, 10, 20)]


def test_the_manifest_is_written_last_and_the_payload_first(tmp_path: Path) -> None:
    store = FaultyStore(LocalStore(tmp_path))
    WaitingP(store, WorldParams()).load_generate()
    writes = [
        operation.split("/")[-1].split(".")[0]
        for operation in store.operations
        if operation.startswith(("create", "replace", "put")) and "probe" not in operation
    ]
    assert writes == ["0", "payload", "params", "generation", "manifest"]  # 0 is the lease


def test_the_manifest_and_not_the_time_says_which_payload_counts(tmp_path: Path) -> None:
    made = WaitingP(tmp_path, WorldParams())
    made.generate()
    (made.persist_filepath / "payload.ffffffff.pickle").write_bytes(b"newer, and nobody's")
    assert WaitingP(tmp_path, WorldParams()).load() == expected(WorldParams())


def test_what_arrives_between_the_miss_and_the_lease_is_loaded_and_not_made(tmp_path: Path) -> None:
    def arrive() -> None:
        WaitingP(LocalStore(tmp_path), WorldParams()).generate()

    lease = "create waiting_p/" + str(WaitingP(tmp_path, WorldParams()).key) + "/lease/0"
    store = FaultyStore(LocalStore(tmp_path), Fault(1, arrive, only=lease))
    asked = WaitingP(store, WorldParams(fail=True))  # would raise if it were generated
    assert asked.load_generate() == expected(WorldParams())
    assert not list(tmp_path.rglob("lease"))


def test_who_waited_in_vain_does_not_go_on_as_if_it_owned(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, patience=0.05)
    asked = WaitingP(store, WorldParams())
    store.create(f"{asked.key.folder}/lease/0", b'{"host": "another"}')
    with pytest.raises(LeaseTimeoutError):
        asked.load_generate()
    assert not asked.exists()
    assert left_in(asked.persist_filepath) == {"lease/0"}


def test_a_late_writer_loses_to_whoever_committed_first_and_takes_the_winner_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []

    def overtake(**event: Any) -> None:
        monkeypatch.setattr(WaitingP, "events", staticmethod(lambda **event: None))
        winner = WaitingP(LocalStore(tmp_path, single_flight=False), WorldParams())
        winner.generate()
        digests.append(winner.manifest.data)

    monkeypatch.setattr(WaitingP, "events", staticmethod(overtake))
    asked = WaitingP(tmp_path, WorldParams())
    assert asked.load_generate() == expected(WorldParams())
    assert digests == [asked.manifest.data]
    payload = asked.manifest.payload["file"]
    assert left_in(asked.persist_filepath) == {payload, "manifest.json", "params.json", "generation.log"}


# Late owners: paused anywhere, overtaken, and awake again


def _made_by_another(tmp_path: Path) -> WaitingP:
    winner = WaitingP(LocalStore(tmp_path, single_flight=False, fsync=False), WorldParams())
    winner._validate_payload = lambda payload: winner.logger.info("I am the winner")  # type: ignore[method-assign]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorruptArtifactWarning)
        winner.load_generate()
    return winner


@pytest.mark.parametrize("start", ["nothing", "corrupt"])
@pytest.mark.parametrize("step", ["put", "replace params.json", "replace corrupt-"])
def test_a_late_owner_leaves_all_of_the_winner_s_as_it_is(tmp_path: Path, start: str, step: str) -> None:
    folder = WaitingP(tmp_path, WorldParams()).key.folder
    if start == "corrupt":
        made = WaitingP(tmp_path, WorldParams())
        made.generate()
        (made.persist_filepath / made.manifest.payload["file"]).write_bytes(b"rotten")
    elif "corrupt" in step:
        return
    winners: list[WaitingP] = []
    what, _, name = step.partition(" ")
    overtaken = Fault(1, lambda: winners.append(_made_by_another(tmp_path)), "after", only=f"{what} {folder}/{name}")
    late = WaitingP(FaultyStore(LocalStore(tmp_path, fsync=False), overtaken), WorldParams())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorruptArtifactWarning)
        assert late.load_generate() == expected(WorldParams())
    (winner,) = winners
    place = winner.persist_filepath
    assert late.manifest == winner.manifest == WaitingP(tmp_path, WorldParams()).manifest
    assert "I am the winner" in (place / "generation.log").read_text()
    payloads = {name for name in left_in(place) if name.startswith("payload.")}
    assert len(payloads) == 1 + (start == "corrupt")  # the rotten one is kept for a look
    assert winner.manifest.payload["file"] in payloads
    assert WaitingP(tmp_path, WorldParams()).load() == expected(WorldParams())


def test_an_order_replaces_whatever_is_there(tmp_path: Path) -> None:
    folder = WaitingP(tmp_path, WorldParams()).key.folder
    WaitingP(tmp_path, WorldParams()).generate()
    others: list[WaitingP] = []

    def overtake() -> None:
        others.append(WaitingP(LocalStore(tmp_path, single_flight=False), WorldParams()))
        others[0].generate()

    store = FaultyStore(LocalStore(tmp_path), Fault(1, overtake, "after", only=f"replace {folder}/params.json"))
    ordered = WaitingP(store, WorldParams())
    ordered.generate()
    assert ordered.manifest != others[0].manifest
    assert WaitingP(tmp_path, WorldParams()).manifest == ordered.manifest
    assert left_in(ordered.persist_filepath) == {
        ordered.manifest.payload["file"],
        "manifest.json",
        "params.json",
        "generation.log",
    }


# What a payload, a format or a store does, and nobody foresaw


@pytest.mark.parametrize("threads", [True, False])
@pytest.mark.parametrize("error", [RuntimeError("on purpose"), persistable.MissingDependencyError("on purpose")])
def test_whatever_goes_wrong_while_a_payload_is_settled_leaves_it_in_memory(
    tmp_path: Path, error: Exception, threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class UnsettledStore(WrapperStore):
        def settle(self, spool: str) -> None:
            raise error

    if not threads:
        monkeypatch.setattr("threading.Thread.start", lambda thread: (_ for _ in ()).throw(RuntimeError("no thread")))
    asked = WaitingP(UnsettledStore(LocalStore(tmp_path)), WorldParams())
    with pytest.raises(PersistError, match=r"Error: on purpose\. The payload is still in memory") as caught:
        asked.load_generate()
    assert caught.value.__cause__ is error
    assert asked.payload == expected(WorldParams())
    assert not any("payload" in name for name in left_in(asked.persist_filepath))


def test_a_format_that_writes_nothing_is_told_so(tmp_path: Path) -> None:
    class ForgetfulIO(FolderIO):
        format_id: ClassVar[str] = "test.forgetful"

        def _save(self, payload: bytes, filepath: Path) -> None:
            filepath.with_suffix(".else").write_bytes(payload)

    asked = WaitingP(tmp_path, WorldParams(), payload_io=ForgetfulIO())
    with pytest.raises(PersistError, match=r"ForgetfulIO\._save wrote no file at the path that it was given\. The pay"):
        asked.load_generate()
    assert not asked.exists()
    assert asked.payload == expected(WorldParams())


def test_a_payload_that_cannot_be_summed_up_is_persisted_all_the_same(tmp_path: Path) -> None:
    asked = WaitingP(tmp_path, WorldParams())
    asked._generate_payload = _Shapeless  # type: ignore[method-assign,assignment]
    asked.load_generate()
    assert asked.manifest.payload["summary"] == "_Shapeless"


class _Shapeless:
    @property
    def shape(self) -> Any:
        raise ZeroDivisionError("on purpose")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device. The"),
        (ValueError("not so."), "ValueError: not so. The"),
        (ValueError(), "ValueError. The"),
    ],
)
def test_the_cause_of_a_failure_ends_with_a_full_stop(tmp_path: Path, error: Exception, said: str) -> None:
    class BrokenIO(FolderIO):
        format_id: ClassVar[str] = "test.broken too"

        def _save(self, payload: bytes, filepath: Path) -> None:
            raise error

    with pytest.raises(PersistError, match=re.escape(said)):
        WaitingP(tmp_path, WorldParams(), payload_io=BrokenIO()).load_generate()
