"""The doctor: what it says of sound places and of sick ones, and that it leaves nothing behind."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from mixed_store import make_mixed_store

from persistable import LocalStore, ObjectStore, ReadOnlyStore, store_for
from persistable.exceptions import StoreError
from persistable.stores import WrapperStore
from persistable.testing.faults import CarelessStore
from persistable.upkeep import doctor, drives
from persistable.upkeep.doctor import diagnose


@pytest.fixture(autouse=True)
def index(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("PERSISTABLE_INDEX_DIR", str(tmp_path_factory.mktemp("index")))


@pytest.fixture
def store(tmp_path):
    (tmp_path / "store").mkdir()
    return LocalStore(tmp_path / "store", fsync=False)


def problems(place, level):
    return [finding.problem for finding in diagnose(place) if finding.level == level]


def only(place, words):
    """Return the one finding whose problem holds these words."""
    found = [finding for finding in diagnose(place) if words in finding.problem]
    assert len(found) == 1, found
    return found[0]


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_sound_folder_has_no_faults_and_nothing_is_left_in_it(store):
    findings = diagnose(store)
    assert not [finding for finding in findings if finding.level == "fault"]
    assert [finding.problem for finding in findings][:5] == [
        "the place can be reached and listed",
        "the place can be written",
        "of two that create the same file, one wins",
        "a file can be replaced, and is read as it was written last",
        "files can be listed and deleted; its clock agrees with this machine's",
    ]
    assert files_below(store.path) == []


def test_whatever_is_no_ok_has_a_remedy(tmp_path):
    with make_mixed_store(tmp_path / "store") as mixed:
        for finding in diagnose(mixed.store):
            assert (finding.level == "ok") == (finding.remedy == ""), finding


def test_a_store_in_memory_is_examined_as_well():
    assert problems(store_for("memory://doctor/artifacts"), "fault") == []
    assert list(store_for("memory://doctor/artifacts").list("")) == []


def test_a_folder_that_is_not_there_is_a_finding_and_is_not_made(tmp_path):
    finding = only(tmp_path / "none", "no such folder")
    assert finding.level == "fault"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("url", ["s3:bucket", "nosuch://place", "simplecache::s3://bucket"])
def test_a_url_that_no_store_serves_is_a_finding(url):
    [finding] = diagnose(url)
    assert finding.level == "fault"
    assert finding.problem.startswith("the place cannot be used")


def test_a_place_that_cannot_be_reached_is_a_finding(store):
    class AwayStore(WrapperStore):
        def read(self, path):
            raise StoreError("No route to host.")

        def local_path(self, path):
            return None

    [finding] = diagnose(AwayStore(store))
    assert finding.level == "fault"
    assert "No route to host" in finding.problem
    assert "credentials" in finding.remedy


def test_a_place_that_can_only_be_read_is_a_warning(store):
    finding = only(ReadOnlyStore(store), "can only be read")
    assert finding.level == "warning"


def test_a_full_disk_is_a_fault(store):
    class FullStore(WrapperStore):
        def create(self, path, data):
            failure = StoreError("No space left on device.")
            failure.errno = errno.ENOSPC
            raise failure

    assert only(FullStore(store), "cannot be written").level == "fault"


def test_two_winners_of_one_create_are_a_fault_unless_there_is_no_single_flight(store):
    finding = only(CarelessStore(store), "a second create()")
    assert finding.level == "fault"
    assert "single_flight=False" in finding.remedy
    store.single_flight = False
    assert only(CarelessStore(store), "a second create()").level == "warning"


def test_a_place_that_reads_what_was_is_a_fault(store):
    class StaleStore(WrapperStore):
        def replace(self, path, data):
            return

    assert only(StaleStore(store), "that was replaced reads b'first'").level == "fault"


def test_a_place_that_cannot_delete_is_a_fault(store):
    class KeepingStore(WrapperStore):
        def delete(self, path):
            raise StoreError("Deleting is not allowed.")

    assert only(KeepingStore(store), "cannot be listed and deleted").level == "fault"


@pytest.mark.parametrize("apart", [-3600, 3600])
def test_a_clock_that_is_an_hour_away_is_a_warning(store, apart):
    class SlowStore(WrapperStore):
        def list(self, folder):
            for entry in super().list(folder):
                yield entry._replace(modified=entry.modified + apart)

    finding = only(SlowStore(store), "its clock")
    assert finding.level == "warning"
    assert "60 min apart" in finding.problem
    assert "NTP" in finding.remedy


def test_little_space_and_few_inodes_are_warnings(store, monkeypatch):
    full = types.SimpleNamespace(f_bavail=10, f_frsize=4096, f_blocks=10**9, f_favail=3, f_files=1000)
    monkeypatch.setattr(drives.os, "statvfs", lambda path: full)
    assert only(store, "only 41.0 kB of 4.1 TB are free").level == "warning"
    assert only(store, "only 3 of 1,000 files (inodes) are free").level == "warning"


def test_a_file_system_without_links_is_a_warning(store, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    assert only(store, "files cannot be linked").level == "warning"
    assert files_below(store.path) == []


def test_a_network_file_system_is_named(store, monkeypatch):
    monkeypatch.setattr(drives, "file_system", lambda path: "nfs4")
    assert "network file system of type nfs4" in only(store, "file system of type").problem


def test_a_drive_that_keeps_no_access_times_is_a_warning(store, monkeypatch):
    monkeypatch.setattr(drives, "mount_options", lambda path: ("rw", "noatime"))
    assert only(store, "noatime").level == "warning"


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_a_folder_that_a_group_shares_should_hand_its_group_down(store):
    store.path.chmod(0o770)
    assert "chmod g+s" in only(store, "no set-gid").remedy
    store.path.chmod(0o2770)
    assert not any("set-gid" in problem for problem in problems(store, "warning"))


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="users as POSIX has them")
def test_what_this_user_may_not_read_or_enter_is_named(for_all):
    code = """if True:
        import os, sys
        from persistable.upkeep.doctor import diagnose
        diagnose(os.path.dirname(sys.argv[1]))  # imports what it needs
        if os.getuid() == 0:
            os.setgid(65534), os.setuid(65534)
        for finding in diagnose(sys.argv[1]):
            print(finding.level, finding.problem, finding.path)
    """
    folder = for_all / "store"
    for name in ("open", "closed"):
        (folder / name).mkdir(parents=True)
    (folder / "open" / "secret").write_text("")
    for path, mode in ((folder / "open" / "secret", 0), (folder / "closed", 0), (folder, 0o777)):
        path.chmod(mode)
    root = Path(doctor.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ
        | {"PYTHONPATH": str(root), "PERSISTABLE_INDEX_DIR": str(for_all), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    (folder / "closed").chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert f"warning this user cannot enter it {folder}/closed" in done.stdout
    assert f"warning this user cannot read it {folder}/open/secret" in done.stdout


def test_what_lies_there_damaged_newer_and_left_over_is_told(tmp_path):
    with make_mixed_store(tmp_path / "store") as mixed:
        (mixed.folder / mixed.half_deleted.folder / "payload.0123abcd.pickle").write_bytes(b"left over")
        old = time.time() - 30 * 86_400
        os.utime(mixed.folder / mixed.half_deleted.folder / "payload.0123abcd.pickle", (old, old))
        by_key = {finding.key: finding for finding in diagnose(mixed.store) if finding.key}
        assert "corrupt" in by_key[mixed.damaged].problem
        assert "newer" in by_key[mixed.newer].problem
        assert "1 generation under way" in [finding.problem for finding in diagnose(mixed.store)]
        assert "prune" in only(mixed.store, "left over by interrupted").remedy


def test_a_lease_of_a_dead_process_is_told(tmp_path, run_python):
    code = """if True:
        import os, sys
        from persistable import LocalStore
        from persistable.artifacts import claim
        from persistable.keys import ArtifactKey
        lease = claim(LocalStore(sys.argv[1]), ArtifactKey("0" * 32, "model"), None, print)
        lease.__enter__()
        sys.stdout.flush()
        os._exit(0)
    """
    run_python(code, str(tmp_path / "store"))
    finding = only(tmp_path / "store", "a lease is left over")
    assert finding.level == "warning"
    assert finding.key == "0" * 32


def test_the_index_is_told(store):
    assert only(store, "the index").level == "ok"


def test_everything_is_looked_at_and_nothing_is_changed(tmp_path):
    with make_mixed_store(tmp_path / "store") as mixed:
        before = files_below(mixed.folder)
        diagnose(mixed.store)
        assert files_below(mixed.folder) == before


def test_a_bucket_is_examined_as_well_and_one_that_is_not_there_is_a_finding(moto_server):
    url = f"s3://{moto_server.bucket}/doctor"
    store = ObjectStore(url, storage_options=moto_server.options())
    assert problems(store, "fault") == []
    assert list(store.list("")) == []
    nowhere = ObjectStore(f"s3://{moto_server.bucket}-that-is-not-there/doctor", storage_options=moto_server.options())
    assert [finding.level for finding in diagnose(nowhere)] == ["fault"]
