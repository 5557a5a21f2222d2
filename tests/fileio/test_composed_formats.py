"""Parts, folders, and the format that chooses: what is made of other formats and other files."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from persistable.exceptions import ArtifactCorruptError, ManifestVersionError
from persistable.fileio import (
    AutoFileIO,
    BytesFileIO,
    CsvFileIO,
    FolderFileIO,
    JsonFileIO,
    NpyFileIO,
    ParquetFileIO,
    PartsFileIO,
    PickleFileIO,
    TextFileIO,
)
from persistable.fileio.equality import same
from persistable.fileio.frames import frame_difference
from persistable.testing import FileIOConformance
from persistable.testing.fileio import describe

FRAME = pd.DataFrame({"a": [1, 2]}, index=["x", "y"])


@pytest.fixture(scope="module")
def a_folder():
    folder = Path(tempfile.mkdtemp())
    yield folder
    shutil.rmtree(folder)


class TestPartsFileIO(FileIOConformance):
    fileio = PartsFileIO(
        {
            "results": ParquetFileIO(),
            "table": CsvFileIO(),
            "best": JsonFileIO(),
            "weights": AutoFileIO(),
            "inner": PartsFileIO({"report": TextFileIO()}),
        }
    )
    payloads = (
        {"results": FRAME, "table": FRAME, "best": {"a": 1}, "weights": np.arange(3), "inner": {"report": "fine"}},
        {"inner": {"report": ""}, "weights": object, "best": None, "table": FRAME, "results": FRAME},
    )
    refused = ({"best": {}}, {}, [1], None)

    def equal(self, saved, loaded):
        return saved.keys() == loaded.keys() and all(
            frame_difference(saved[name], loaded[name]) is None
            if isinstance(saved[name], pd.DataFrame)
            else same(saved[name], dict(loaded[name]) if name == "inner" else loaded[name])
            for name in saved
        )

    def read(self, loaded):
        dict(loaded)
        dict(loaded["inner"])


class TestFolderFileIO(FileIOConformance):
    fileio = FolderFileIO()
    refused = (Path("no such folder"), Path(__file__), "a str", None)

    def pytest_generate_tests(self, metafunc):
        if "payload" in metafunc.fixturenames:
            metafunc.parametrize("payload", ["filled"], indirect=True)
        else:
            super().pytest_generate_tests(metafunc)

    @pytest.fixture
    def payload(self, a_folder):
        if not (folder := a_folder / "filled").exists():
            (folder / "mesh" / "deep er").mkdir(parents=True)
            (folder / "mesh" / "deep er" / "größe.bin").write_bytes(bytes(range(256)))
            (folder / ".hidden").write_text("")
            (folder / "run.log").write_text("done")
        return folder

    def equal(self, saved, loaded):
        return _content(saved) == _content(loaded)


def _content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestAutoFileIO(FileIOConformance):
    fileio = AutoFileIO()
    payloads = (
        None,
        "text",
        b"bytes",
        {"a": [1]},
        (1, 2),
        np.arange(3),
        np.array([None]),
        {"x": np.arange(2)},
        "\ud83d",
    )


class TestAutoFileIOWithoutPickle(FileIOConformance):
    fileio = AutoFileIO(allow_pickle=False)
    payloads = (None, "text", b"bytes", {"a": [1]}, np.arange(3))
    refused = ((1, 2), "\ud83d", np.array([None]), {"a": {1}}, pd.DataFrame({"a": [[1]]}), bytearray(b"x"))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"a": {1}}, r"\$\.a: a set has no JSON"),
        (np.array([None]), "its dtype is object"),
        (pd.DataFrame({"a": [(1, 2)]}), r"column 'a' holds \(1, 2\)"),
    ],
)
def test_auto_without_pickle_says_why_it_refuses(payload, reason, tmp_path):
    with pytest.raises(TypeError, match=f"AutoFileIO does not take this .*{reason}.*allow pickle"):
        AutoFileIO(allow_pickle=False).save(payload, tmp_path / "payload")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("payload", "format_id"),
    [
        ("x", "text"),
        ("\ud83d", "pickle"),
        (b"x", "bytes"),
        (bytearray(b"x"), "pickle"),
        ({"a": [1, None]}, "json"),
        ({"a": (1,)}, "pickle"),
        (float("nan"), "pickle"),
        (np.arange(3), "npy"),
        (np.array([None]), "pickle"),
        (np.ma.zeros(2), "pickle"),
        (np.float64(1), "pickle"),
        (FRAME, "feather"),
        (pd.DataFrame({"a": [[1]]}), "pickle"),
        (FRAME["a"], "pickle"),
        (pl.DataFrame({"a": [1]}), "feather"),
        (pa.table({"a": [1]}), "feather"),
    ],
)
def test_auto_takes_the_format_that_fits(payload, format_id):
    assert AutoFileIO().for_payload(payload).format_id == format_id


def test_auto_saves_by_itself_but_cannot_tell_what_it_wrote(tmp_path):
    AutoFileIO().save({"a": 1}, tmp_path / "payload")
    assert JsonFileIO().load(describe(tmp_path / "payload")) == {"a": 1}
    with pytest.raises(TypeError, match="whose manifest names the format"):
        AutoFileIO().load(describe(tmp_path / "payload"))


PARTS = PartsFileIO({"best": JsonFileIO(), "table": CsvFileIO(), "noise": NpyFileIO()})
PAYLOAD = {"best": {"a": 1}, "table": FRAME, "noise": np.arange(3)}


@pytest.fixture
def stored(tmp_path):
    PARTS.save(PAYLOAD, tmp_path / "payload")
    return describe(tmp_path / "payload")


def test_a_part_is_loaded_when_it_is_asked_for_and_kept(stored):
    parts = PARTS.load(stored)
    shutil.move(stored.path / "noise.npy", stored.path.parent)
    assert repr(parts) == "Parts(best: json, table: csv, noise: npy)"
    assert list(parts) == ["best", "table", "noise"]
    assert "noise" in parts
    assert parts["best"] is parts["best"]
    with pytest.raises(ArtifactCorruptError, match=r"noise\.npy is missing"):
        parts["noise"]
    with pytest.raises(KeyError, match="it has best, table, noise"):
        parts["nose"]
    with pytest.raises(TypeError):
        parts["best"] = 1


def test_a_part_that_is_missing_or_cut_is_found_at_once(stored):
    (stored.path / "table" / "table.csv").write_bytes(b"")
    with pytest.raises(ArtifactCorruptError, match="has 0 bytes"):
        PARTS.load(stored)


def test_a_flipped_byte_in_any_part_shows_at_once(stored):
    file = stored.path / "noise.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x55")
    with pytest.raises(ArtifactCorruptError, match=r"noise\.npy has the digest"):
        PARTS.load(stored)


def test_a_byte_that_flips_after_the_load_shows_when_the_part_is_asked_for(stored):
    parts = PARTS.load(stored)
    file = stored.path / "noise.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x55")
    assert frame_difference(parts["table"], FRAME) is None
    with pytest.raises(ArtifactCorruptError, match="digest"):
        parts["noise"]


def test_parts_without_formats_load_whatever_was_written(stored):
    parts = PartsFileIO().load(stored)
    assert parts["best"] == {"a": 1}
    assert frame_difference(parts["table"], FRAME) is None
    with pytest.raises(TypeError, match="can only load"):
        PartsFileIO().save(PAYLOAD, stored.path.parent / "other")


def test_parts_say_which_are_missing_and_which_are_too_many(tmp_path):
    with pytest.raises(TypeError, match=r"parts missing: \['noise'\]; .*no format was given for: \['nose'\]"):
        PARTS.save({"best": 1, "table": FRAME, "nose": 1}, tmp_path / "payload")


def test_an_error_names_the_part_that_it_came_from(tmp_path):
    with pytest.raises(TypeError, match="a set has no JSON") as caught:
        PARTS.save({**PAYLOAD, "best": {1}}, tmp_path / "payload")
    assert "the part 'best'" in caught.value.__notes__[0]


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "..", "-a", "größe", "parts", "PARTS", "a" * 101, 1])
def test_a_part_has_a_name_that_is_a_file_name_everywhere(name):
    with pytest.raises(ValueError, match="The part name"):
        PartsFileIO({name: JsonFileIO()})


def test_parts_that_differ_in_case_only_are_refused():
    with pytest.raises(ValueError, match="upper from lower case"):
        PartsFileIO({"best": JsonFileIO(), "Best": JsonFileIO()})
    with pytest.raises(TypeError, match="needs a FileIO object"):
        PartsFileIO({"best": JsonFileIO})


def test_a_part_in_a_newer_format_is_refused(stored):
    class OlderJson(JsonFileIO):
        format_id = "json"
        version = 0

    with pytest.raises(ManifestVersionError):
        PartsFileIO({"best": OlderJson(), "table": CsvFileIO(), "noise": NpyFileIO()}).load(stored)
    from persistable.fileio.base import _known

    _known["json"] = JsonFileIO


def test_a_stored_folder_is_read_only_and_can_be_deleted(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").write_text("a")
    FolderFileIO().save(tmp_path / "source", tmp_path / "stored")
    loaded = FolderFileIO().load(describe(tmp_path / "stored"))
    assert loaded == tmp_path / "stored"
    assert (loaded / "a").stat().st_mode & 0o222 == 0
    assert (tmp_path / "source" / "a").stat().st_mode & 0o200, "the source stays as it was"
    shutil.rmtree(loaded)


def test_a_folder_can_be_saved_into_itself(tmp_path):
    (tmp_path / "a").write_text("a")
    FolderFileIO().save(tmp_path, tmp_path / "stored")
    assert _content(tmp_path / "stored") == {Path("a"): b"a"}


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda folder: (folder / "link").symlink_to("a"), "is a symbolic link"),
        (lambda folder: (folder / "link").symlink_to(".", target_is_directory=True), "is a symbolic link"),
        (lambda folder: os.mkfifo(folder / "pipe"), "neither a file nor a folder"),
        (lambda folder: Path(os.fsdecode(bytes(folder) + b"/\xff")).write_text(""), "no valid Unicode"),
        (lambda folder: (folder / "a").unlink(), "is empty"),
        (lambda folder: (folder / "a").rename(folder / ".DS_Store"), "is empty"),
        (lambda folder: ((folder / "a").unlink(), (folder / "deep" / "er").mkdir(parents=True)), "is empty"),
    ],
)
def test_what_not_every_store_can_keep_is_refused(spoil, complaint, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").write_text("a")
    spoil(tmp_path / "source")
    with pytest.raises(TypeError, match=complaint):
        FolderFileIO().save(tmp_path / "source", tmp_path / "stored")
    assert not (tmp_path / "stored").exists()


def test_a_folder_keeps_files_and_nothing_else(tmp_path):
    source = tmp_path / "source"
    (source / "empty" / "too").mkdir(parents=True)
    (source / "mesh" / "empty").mkdir(parents=True)
    for name in ("a", "mesh/b", "mesh/.DS_Store", "Thumbs.db", "desktop.ini"):
        (source / name).write_text(name)
    FolderFileIO().save(source, tmp_path / "stored")
    assert _content(tmp_path / "stored") == {Path("a"): b"a", Path("mesh/b"): b"mesh/b"}
    assert not (tmp_path / "stored" / "empty").exists()
    assert not (tmp_path / "stored" / "mesh" / "empty").exists()


@pytest.mark.parametrize("name", [".DS_Store", "mesh/Thumbs.db", "mesh/desktop.ini"])
def test_what_a_file_manager_leaves_in_a_stored_folder_does_not_damage_it(name, tmp_path):
    stored = _stored_folder(tmp_path)
    (stored.path / name).write_text("")
    assert FolderFileIO().load(stored) == stored.path


@pytest.mark.parametrize("name", ["b", "mesh/b", ".DS_Store.lock", "._.DS_Store", ".DS_Store/b"])
def test_any_other_file_in_a_stored_folder_is_named(name, tmp_path):
    stored = _stored_folder(tmp_path)
    (stored.path / name).parent.mkdir(exist_ok=True)
    (stored.path / name).write_text("")
    with pytest.raises(ArtifactCorruptError, match=f"'{re.escape(name)}'.*let the program work on a copy"):
        FolderFileIO().load(stored)


def test_a_stored_file_of_such_a_name_counts_as_any_other(tmp_path):
    """A format of one's own may write one; what was written must be there."""
    (tmp_path / "payload").mkdir()
    (tmp_path / "payload" / "desktop.ini").write_text("[written]")
    stored = describe(tmp_path / "payload")
    (tmp_path / "payload" / "desktop.ini").write_text("[changed]")
    with pytest.raises(ArtifactCorruptError, match="digest"):
        stored.check()


def _stored_folder(folder):
    (folder / "source" / "mesh").mkdir(parents=True)
    (folder / "source" / "mesh" / "a").write_text("a")
    FolderFileIO().save(folder / "source", folder / "stored")
    return describe(folder / "stored")


class TestPickleFileIO(FileIOConformance):
    fileio = PickleFileIO()
    payloads = (None, {"a": (1, {2})}, [b"x" * 2_000_000])
    refused = (lambda: None,)

    def test_a_payload_that_would_not_come_back_is_refused(self, refused_payload, tmp_path):
        with pytest.raises((AttributeError, Exception), match="lambda"):
            self.fileio.save(refused_payload, tmp_path / "payload.pickle")


def test_formats_import_their_libraries_only_when_they_are_used(run_python):
    code = """if True:
        import sys
        import persistable.fileio
        from persistable.fileio import AutoFileIO, BytesFileIO, FolderFileIO, JsonFileIO, PartsFileIO, TextFileIO
        for payload in ({"a": 1}, "x", b"x", {1}, object()):
            AutoFileIO().for_payload(payload)
        print({"numpy", "pandas", "pyarrow", "polars", "pytest"} & set(sys.modules))
    """
    assert run_python(code).strip() == "set()"


@pytest.mark.parametrize(
    ("missing", "name", "command"),
    [
        ("numpy", "NpyFileIO", "persistable[numpy]"),
        ("pandas", "CsvFileIO", "persistable[pandas]"),
        ("pyarrow", "ParquetFileIO", "persistable[parquet]"),
    ],
)
def test_a_missing_library_is_named_with_the_way_to_install_it(run_python, missing, name, command):
    code = """if True:
        import sys
        missing, name = sys.argv[1:]
        sys.modules[missing] = None
        import persistable.fileio
        from persistable.exceptions import MissingDependencyError
        try:
            getattr(persistable.fileio, name)
        except MissingDependencyError as error:
            print(error)
    """
    assert command in run_python(code, missing, name)


def test_a_frame_is_pickled_where_pyarrow_is_missing(run_python):
    code = """if True:
        import sys
        sys.modules["pyarrow"] = None
        import pandas as pd
        from persistable.fileio import AutoFileIO
        print(AutoFileIO().for_payload(pd.DataFrame({"a": [1]})).format_id)
    """
    assert run_python(code).strip() == "pickle"


def test_every_format_in_the_table_is_what_it_says():
    import persistable.fileio as formats

    for format_id, (_, name) in formats._FORMATS.items():
        fileio = getattr(formats, name)()
        assert fileio.format_id == format_id
        assert name in formats.__all__
    assert BytesFileIO.format_id == "bytes"
