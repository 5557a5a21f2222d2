"""Copies that are a process's own: gone when it is, however it ends, and not before."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from persistable.stores import copies
from persistable.stores.copies import Copies, locked

COPY = """if True:
    import sys
    from persistable.stores.copies import Copies
    copy = Copies(sys.argv[1]).new("payload.npy")
    open(copy, "w").write("payload")
    print(copy, flush=True)
"""


def folders(parent: Path) -> list[Path]:
    return sorted(parent.iterdir())


def forked(work: Callable[[], None]) -> int:
    """Run `work` in a process of its own, which ends without a goodbye."""
    if child := os.fork():
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def test_a_copy_has_a_path_of_its_own_that_ends_with_the_name_that_was_asked_for(tmp_path: Path) -> None:
    own = Copies(str(tmp_path))
    first, second = own.new("payload.npy"), own.new("payload.npy")
    assert first != second
    assert first.endswith("payload.npy")
    assert not os.path.lexists(first)
    assert own.holds(first)
    assert not own.holds(str(tmp_path / "payload.npy"))
    Path(first).write_bytes(b"x")
    Path(second).mkdir()
    own.remove(first)
    own.remove(first)
    assert not os.path.lexists(first)
    assert os.path.isdir(second)


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    assert not Copies(str(tmp_path / "cache")).holds("x")
    assert folders(tmp_path) == []


def test_at_its_end_a_process_removes_its_copies(tmp_path: Path, run_python: Callable[..., str]) -> None:
    copy = run_python(COPY, str(tmp_path)).strip()
    assert copy.startswith(str(tmp_path))
    assert folders(tmp_path) == []


def test_what_a_killed_process_has_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = f"{COPY}    import os; os.kill(os.getpid(), 9)\n"
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, stdout=subprocess.PIPE)
    assert killed.returncode == -signal.SIGKILL
    assert Path(killed.stdout.decode().strip()).exists()
    Copies(str(tmp_path)).new("x")
    assert not Path(killed.stdout.decode().strip()).exists()
    assert len(folders(tmp_path)) == 1


def test_what_a_living_process_has_is_left_to_it(tmp_path: Path) -> None:
    code = f"{COPY}    sys.stdin.read()\n"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        copy = Path(process.stdout.readline().decode().strip())
        Copies(str(tmp_path)).new("x")
        assert copy.read_text() == "payload"
        process.communicate()
    assert not copy.exists()


def test_what_a_forked_process_may_still_read_stays_until_that_is_gone_too(tmp_path: Path) -> None:
    """Its parent has loaded something lazily, has forked it, and is killed."""
    told, tell = os.pipe()
    over, end = os.pipe()

    def parent() -> None:
        copy = Copies(str(tmp_path)).new("payload.npy")
        Path(copy).write_text("payload")
        if os.fork() == 0:
            os.close(end)
            os.write(tell, copy.encode())
            os.read(over, 1)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    child = forked(parent)
    os.close(tell)
    copy = Path(os.read(told, 4096).decode())
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    Copies(str(tmp_path)).new("x")
    assert copy.read_text() == "payload"
    os.close(end)
    while os.read(told, 1):
        pass
    Copies(str(tmp_path)).new("x")
    assert not copy.exists()
    os.close(told)
    os.close(over)


def test_a_forked_process_has_a_folder_of_its_own(tmp_path: Path) -> None:
    own = Copies(str(tmp_path))
    before = own.new("x")

    def work() -> None:
        assert not own.holds(before)
        copy = own.new("x")
        assert own.holds(copy)
        assert Path(copy).parent != Path(before).parent

    assert os.waitpid(forked(work), 0)[1] == 0
    assert os.path.isdir(os.path.dirname(before))


def test_a_process_may_be_forked_while_a_thread_makes_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, making, go_on = copies._make_folder, threading.Event(), threading.Event()

    def slow(parent: str) -> str:
        making.set()
        go_on.wait(10)
        return make(parent)

    monkeypatch.setattr(copies, "_make_folder", slow)
    own = Copies(str(tmp_path))
    thread = threading.Thread(target=own.new, args=("x",))
    thread.start()
    assert making.wait(10)
    threading.Timer(0.1, go_on.set).start()
    child = forked(lambda: Path(own.new("x")).write_bytes(b"x"))
    assert os.waitpid(child, 0)[1] == 0
    thread.join()


def test_many_processes_and_threads_that_begin_at_once_take_nothing_from_each_other(tmp_path: Path) -> None:
    def work() -> None:
        for _ in range(30):
            own = Copies(str(tmp_path))
            with ThreadPoolExecutor(4) as pool:
                for copy in pool.map(own.new, "abcd"):
                    Path(copy).write_bytes(b"x")
                    assert own.holds(copy)

    children = [forked(work) for _ in range(4)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    Copies(str(tmp_path)).new("x")
    assert len(folders(tmp_path)) == 1


def test_where_nothing_can_be_written_copies_are_temporary_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    own = Copies(str(tmp_path / "file" / "cache"))
    copy = own.new("x")
    Path(copy).write_bytes(b"x")
    assert own.holds(copy)


def test_a_process_can_retreat_from_a_full_disk(tmp_path: Path) -> None:
    own = Copies(str(tmp_path))
    before = own.new("x")
    assert own.retreat()
    after = own.new("x")
    assert not after.startswith(str(tmp_path))
    assert own.holds(before)
    assert own.holds(after)
    assert not own.retreat()


def test_a_folder_that_is_deleted_while_it_is_used_is_made_again(tmp_path: Path) -> None:
    import shutil

    own = Copies(str(tmp_path / "cache"))
    own.new("x")
    shutil.rmtree(tmp_path / "cache")
    Path(own.new("x")).write_bytes(b"x")


@pytest.mark.parametrize("parent", [None, "parent"])
def test_copies_are_pickled_as_where_they_are(parent: str | None, tmp_path: Path) -> None:
    own = Copies(parent and str(tmp_path / parent))
    again = pickle.loads(pickle.dumps(own))
    copy = again.new("x")
    assert again.holds(copy)
    assert not own.holds(copy)


def test_folders_that_are_not_copies_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "persistable-copies-link").symlink_to(tmp_path / "elsewhere")
    for name in ("elsewhere", "points", "persistable-copies"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".owner").write_bytes(b"")
    before = folders(tmp_path)
    own = Copies(str(tmp_path)).new("x")
    assert set(folders(tmp_path)) - {Path(own).parent} == set(before)


def test_a_lock_has_one_holder_and_is_given_back(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with locked(path, 0.0) as first, locked(path, 0.02) as second:
        assert first
        assert not second
    with pytest.raises(ZeroDivisionError), locked(path, 0.0):
        raise ZeroDivisionError
    with locked(path, 0.0) as third:
        assert third


def test_a_lock_that_was_inherited_by_a_fork_is_given_back_all_the_same(tmp_path: Path) -> None:
    path, (over, end) = str(tmp_path / "lock"), os.pipe()

    def wait() -> None:
        os.close(end)
        os.read(over, 1)

    with locked(path, 0.0):
        child = forked(wait)
    with locked(path, 0.0) as held:
        assert held
    os.close(end)
    assert os.waitpid(child, 0)[1] == 0
    os.close(over)
