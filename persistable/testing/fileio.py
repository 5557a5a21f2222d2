"""The conformance kit for formats: prove that a FileIO of your own keeps the promises that the library relies on.

Subclass :class:`FileIOConformance` in a test module, and let pytest run it::

    class TestPointsFileIO(FileIOConformance):
        fileio = PointsFileIO()
        payloads = [Points([], []), Points([1.0], [2.0])]
"""

from __future__ import annotations

import os
import pickle
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .._integrity import StoredPayload, digest_file, digest_of_files, files_below
from ..exceptions import ArtifactCorruptError
from ..fileio import FileIO, fileio_for
from ..fileio.equality import same

__all__ = ["FileIOConformance", "describe"]

_SAMPLES = 12  # places in each file where it is damaged
_NAMES = ("payload.1f3a9c2e", "with two  spaces", "Größe.v2.株価", "a=b,c;d'e&f#g%20")


class FileIOConformance:
    """The tests that every format passes. Subclass it, and give `fileio` and `payloads`.

    Attributes
    ----------
    fileio : FileIO
        The format.
    payloads : sequence
        What it must carry: the usual, and the corners (empty, huge, odd).
    refused : sequence
        What it must refuse at save, with an error that names the payload's type.
    """

    fileio: FileIO[Any]
    payloads: Sequence[Any] = ()
    refused: Sequence[Any] = ()

    def equal(self, saved: Any, loaded: Any) -> bool:
        """Return whether `loaded` is what was saved; override it for a type that ``==`` does not do justice to."""
        return same(saved, loaded)

    def read(self, loaded: Any) -> None:
        """Read all of a loaded payload; override it for a format whose payload loads lazily."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test once for each payload."""
        for argument, values in (("payload", self.payloads), ("refused_payload", self.refused)):
            if argument in metafunc.fixturenames:
                names = [f"{type(value).__name__}{number}" for number, value in enumerate(values)]
                metafunc.parametrize(argument, values, ids=names)

    # -- what a format is called

    def test_the_format_has_a_name_a_version_and_a_suffix(self) -> None:
        fileio = self.fileio
        assert isinstance(fileio, FileIO), "fileio must be an object, not a class"
        assert isinstance(fileio.format_id, str)
        assert fileio.format_id.strip() == fileio.format_id != ""
        assert isinstance(fileio.version, int)
        assert fileio.version >= 1
        assert fileio.suffix == "" or fileio.suffix.startswith("."), "a suffix begins with its dot"
        assert "/" not in fileio.suffix
        assert "\\" not in fileio.suffix

    def test_the_format_is_found_by_the_name_that_a_manifest_records(self) -> None:
        assert fileio_for(self.fileio.format_id, self.fileio.version, self.fileio) is self.fileio

    # -- what it writes

    def test_a_payload_comes_back_equal(self, payload: Any, tmp_path: Path) -> None:
        stored = self._save(payload, tmp_path)
        assert self.equal(payload, self._load(payload, stored))

    def test_it_writes_at_its_path_and_nowhere_else(self, payload: Any, tmp_path: Path) -> None:
        stored = self._save(payload, tmp_path)
        assert list(tmp_path.iterdir()) == [stored.path]

    def test_any_file_name_will_do(self, payload: Any, tmp_path: Path) -> None:
        for number, name in enumerate(_NAMES):
            folder = tmp_path / str(number)
            folder.mkdir()
            stored = self._save(payload, folder, name)
            assert [path.name for path in folder.iterdir()] == [stored.path.name]
            assert self.equal(payload, self._load(payload, stored))

    def test_two_saves_do_not_touch_each_other(self, payload: Any, tmp_path: Path) -> None:
        first = self._save(payload, tmp_path, "first")
        second = self._save(payload, tmp_path, "second")
        first.check()
        assert self.equal(payload, self._load(payload, second))
        assert self.equal(payload, self._load(payload, first))

    def test_a_group_can_share_the_files(self, payload: Any, tmp_path: Path) -> None:
        """Modes follow the umask, so that a team's folder works; a tempfile's 0600 would shut the others out."""
        with _umask(0o027):
            stored = self._save(payload, tmp_path)
        for path in [stored.path, *stored.path.rglob("*")]:
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode & 0o027 == 0, f"{path.name} has the mode {mode:o} under a umask of 027"
            assert mode & 0o440 == 0o440, f"{path.name} has the mode {mode:o}: the group cannot read it"
            assert path.is_file() or mode == 0o750, f"{path.name} has the mode {mode:o}, a new folder has 750"

    def test_a_payload_that_would_not_come_back_is_refused(self, refused_payload: Any, tmp_path: Path) -> None:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of any type, as long as it says what it is about
            self._save(refused_payload, tmp_path)
        assert type(refused_payload).__name__ in str(caught.value)

    # -- what it reads

    def test_a_flipped_byte_is_found_before_anything_is_made_of_it(self, payload: Any, tmp_path: Path) -> None:
        stored = self._save(payload, tmp_path)
        for file in _files_of(stored):
            content = file.read_bytes()
            for position in _spread(len(content)):
                damaged = bytearray(content)
                damaged[position] ^= 0x55
                with _content(file, bytes(damaged)):
                    self._assert_corrupt(payload, stored, f"byte {position} of {file.name} was flipped")
        assert self.equal(payload, self._load(payload, stored)), "the file is whole again, and must load"

    def test_a_truncated_file_is_found_before_anything_is_made_of_it(self, payload: Any, tmp_path: Path) -> None:
        stored = self._save(payload, tmp_path)
        for file in _files_of(stored):
            content = file.read_bytes()
            for length in _spread(len(content)):
                with _content(file, content[:length]):
                    self._assert_corrupt(payload, stored, f"{file.name} was cut to {length} bytes")

    def test_a_file_that_grew_is_found(self, payload: Any, tmp_path: Path) -> None:
        stored = self._save(payload, tmp_path)
        for file in _files_of(stored):
            with _content(file, file.read_bytes() + b"\0"):
                self._assert_corrupt(payload, stored, f"{file.name} has a byte more")

    def test_a_missing_file_is_found(self, payload: Any, tmp_path: Path) -> None:
        stored = self._save(payload, tmp_path)
        for file in _files_of(stored):
            aside = file.rename(tmp_path / "aside")
            self._assert_corrupt(payload, stored, f"{file.name} is gone")
            aside.rename(file)

    def test_a_load_changes_nothing(self, payload: Any, tmp_path: Path) -> None:
        stored = self._save(payload, tmp_path)
        before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in _files_of(stored)}
        self.read(self._load(payload, stored))
        self.read(self._load(payload, stored))
        assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in _files_of(stored)} == before

    # -- where it goes

    def test_the_format_can_be_sent_to_another_process(self, payload: Any, tmp_path: Path) -> None:
        sent: FileIO[Any] = pickle.loads(pickle.dumps(self.fileio))  # noqa: S301 - our own bytes
        fileio = sent.for_payload(payload)
        path = tmp_path / f"payload{fileio.suffix}"
        fileio.save(payload, path)
        assert self.equal(payload, self._load(payload, describe(path)))

    # -- how the library calls a format

    def _save(self, payload: Any, folder: Path, name: str = "payload") -> StoredPayload:
        fileio = self.fileio.for_payload(payload)
        path = folder / f"{name}{fileio.suffix}"
        fileio.save(payload, path)
        return describe(path)

    def _load(self, payload: Any, stored: StoredPayload) -> Any:
        wrote = self.fileio.for_payload(payload)
        return fileio_for(wrote.format_id, wrote.version, self.fileio).load(stored)

    def _assert_corrupt(self, payload: Any, stored: StoredPayload, damage: str) -> None:
        try:
            self.read(self._load(payload, stored))
        except ArtifactCorruptError:
            return
        except Exception as error:
            raise AssertionError(f"{damage}, and it was deserialised before it was verified") from error
        raise AssertionError(f"{damage}, and nobody noticed")


def describe(path: Path) -> StoredPayload:
    """Return what a manifest would say of the file or the folder at `path`."""
    if not path.is_dir():
        return StoredPayload(str(path), *digest_file(path))
    files = {name: digest_file(file) for name, file in files_below(path)}
    return StoredPayload(str(path), sum(size for size, _ in files.values()), digest_of_files(files), files)


def _files_of(stored: StoredPayload) -> list[Path]:
    return [stored.path] if stored.files is None else [stored.path / name for name in stored.files]


def _spread(length: int) -> list[int]:
    """Return some positions below `length`: the first, the last, and others between."""
    if length == 0:
        return []
    return sorted({0, length - 1, *range(0, length, max(1, length // _SAMPLES))})


@contextmanager
def _content(file: Path, content: bytes) -> Iterator[None]:
    """Give `file` another content for a while, even where it is read-only, as a fault of the disk would."""
    original, mode = file.read_bytes(), file.stat().st_mode
    file.chmod(0o600)
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(original)
        file.chmod(mode)


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
