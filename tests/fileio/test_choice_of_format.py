"""Which format reads what a manifest names: never one that runs code for a reader who chose one that cannot."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from persistable import Persistable
from persistable.exceptions import ManifestVersionError, PayloadError
from persistable.fileio import (
    AutoFileIO,
    BytesFileIO,
    CsvFileIO,
    FeatherFileIO,
    FileIO,
    FolderFileIO,
    JsonFileIO,
    NpyFileIO,
    NpzFileIO,
    ParquetFileIO,
    PartsFileIO,
    PickleFileIO,
    TextFileIO,
    fileio_for,
)
from persistable.testing.fileio import describe

DATA_ONLY = [
    AutoFileIO(allow_pickle=False),
    BytesFileIO(),
    CsvFileIO(),
    FeatherFileIO(),
    FolderFileIO(),
    JsonFileIO(),
    NpyFileIO(),
    NpzFileIO(),
    ParquetFileIO(),
    PartsFileIO(),
    PartsFileIO({"a": JsonFileIO()}),
    TextFileIO(),
]


class PlainFileIO(FileIO[Any]):
    """A format of somebody's own."""

    def _save(self, payload: Any, filepath: Path) -> None:
        filepath.write_text(str(payload))

    def _load(self, filepath: Path) -> Any:
        return filepath.read_text()


class ClonedFileIO(FileIO[Any]):
    """A pickle by another name, which says so."""

    loading_runs_code = True

    def _save(self, payload: Any, filepath: Path) -> None:
        filepath.write_bytes(pickle.dumps(payload))

    def _load(self, filepath: Path) -> Any:
        return pickle.loads(filepath.read_bytes())


class CallFileIO(PickleFileIO[Any]):
    """A pickle, with something on top."""


class Bomb:
    """Its pickle touches a file when it is loaded."""

    def __init__(self, fuse: Path) -> None:
        self.fuse = fuse

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.fuse,)


class ChoiceP(Persistable[Any, None]):
    def _generate_payload(self) -> Any:
        return {"a": {1}, "b": 2}


class BombP(Persistable[Any, None]):
    payload_name = "choice_p"

    def _generate_payload(self, fuse: Path) -> Any:
        return Bomb(fuse)


@pytest.mark.parametrize("asked", [*DATA_ONLY, PlainFileIO()], ids=repr)
@pytest.mark.parametrize("wrote", [PickleFileIO(), ClonedFileIO(), CallFileIO()], ids=repr)
def test_who_chose_a_data_only_format_is_given_no_other(asked, wrote):
    with pytest.raises(PayloadError, match=f"was written by {type(wrote).__name__}, and loading .* runs code") as error:
        fileio_for(wrote.format_id, 1, asked)
    assert f"payload_io is {asked!r}" in str(error.value)


@pytest.mark.parametrize("asked", [*DATA_ONLY, PlainFileIO(), PickleFileIO()], ids=repr)
def test_a_data_only_format_is_given_to_everyone(asked):
    assert fileio_for("json", 1, asked).format_id == "json"
    assert fileio_for(PlainFileIO.format_id, 1, asked).format_id == PlainFileIO.format_id


@pytest.mark.parametrize("asked", [PickleFileIO(), AutoFileIO(), ClonedFileIO(), CallFileIO()], ids=repr)
def test_who_chose_a_format_that_runs_code_is_given_pickle(asked):
    assert isinstance(fileio_for("pickle", 1, asked), PickleFileIO)


def test_the_message_says_what_to_do():
    with pytest.raises(PayloadError) as error:
        fileio_for("pickle", 1, JsonFileIO())
    assert str(error.value) == (
        "The payload was written by PickleFileIO, and loading a pickle runs code; payload_io is JsonFileIO(), which "
        "never does. Pass payload_io=PickleFileIO() if you trust whoever can write to the store, or call generate() "
        "to have the payload written anew."
    )


@pytest.mark.parametrize("asked", DATA_ONLY, ids=repr)
@pytest.mark.filterwarnings("ignore:The code that made")  # another class writes under its name
def test_a_planted_pickle_is_not_loaded(asked, tmp_path):
    """The manifest is whole, its digests too: whoever can write to the store can write that as well."""
    fuse = tmp_path / "fuse"
    BombP(tmp_path / "store", None).generate(fuse=fuse)
    for call in ("load", "load_generate"):
        with pytest.raises(PayloadError, match="runs code"):
            getattr(ChoiceP(tmp_path / "store", None, payload_io=asked), call)()
    assert not fuse.exists()
    ChoiceP(tmp_path / "store", None).load()
    assert fuse.exists(), "the bomb is one"


def _planted(folder, parts, **formats):
    """Return parts whose index names other formats than those that were declared."""
    parts.save(dict.fromkeys(parts.parts, 1), folder)
    index = json.loads((folder / "parts.json").read_text())
    for name, format_id in formats.items():
        index[name]["format"] = format_id
    (folder / "parts.json").write_text(json.dumps(index))
    return describe(folder)


def test_a_part_is_never_unpickled_where_its_format_was_a_data_only_one(tmp_path):
    parts = PartsFileIO({"a": JsonFileIO(), "b": PickleFileIO()})
    with pytest.raises(PayloadError, match=r"payload_io is JsonFileIO\(\)") as error:
        parts.load(_planted(tmp_path / "payload", parts, a="pickle"))
    assert "the part 'a'" in error.value.__notes__[0]


def test_a_part_is_unpickled_where_its_format_may(tmp_path):
    parts = PartsFileIO({"a": PickleFileIO(), "b": AutoFileIO(), "c": PartsFileIO({"d": PickleFileIO()})})
    parts.save({"a": {1}, "b": {2}, "c": {"d": {3}}}, tmp_path / "payload")
    loaded = parts.load(describe(tmp_path / "payload"))
    assert (loaded["a"], loaded["b"], loaded["c"]["d"]) == ({1}, {2}, {3})


def test_parts_without_formats_unpickle_nothing(tmp_path):
    inner = PartsFileIO({"inner": PickleFileIO()})
    PartsFileIO({"a": JsonFileIO(), "b": inner}).save({"a": 1, "b": {"inner": {1}}}, tmp_path / "payload")
    loaded = PartsFileIO().load(describe(tmp_path / "payload"))
    assert loaded["a"] == 1
    with pytest.raises(PayloadError, match=r"payload_io is PartsFileIO\(\)"):
        loaded["b"]
    inner.save({"inner": 1}, tmp_path / "direct")
    with pytest.raises(PayloadError, match=r"payload_io is PartsFileIO\(\)"):
        PartsFileIO().load(describe(tmp_path / "direct"))


@pytest.mark.parametrize("trusting", [None, PickleFileIO(), AutoFileIO()], ids=repr)
def test_parts_that_pickle_wrote_are_loaded_by_who_trusts_pickles(trusting, tmp_path):
    parts = PartsFileIO({"a": PickleFileIO(), "b": JsonFileIO()})
    ChoiceP(tmp_path, None, payload_io=parts).generate()
    assert dict(ChoiceP(tmp_path, None, payload_io=trusting).load()) == {"a": {1}, "b": 2}
    with pytest.raises(PayloadError, match="runs code"):
        ChoiceP(tmp_path, None, payload_io=JsonFileIO()).load()


def test_a_format_that_needs_arguments_or_is_unknown_is_named():
    class NeedyFileIO(PlainFileIO):
        def __init__(self, needed: int) -> None:
            self.needed = needed

    with pytest.raises(ManifestVersionError, match="needs arguments"):
        fileio_for(NeedyFileIO.format_id, 1, JsonFileIO())
    with pytest.raises(ManifestVersionError, match="not known here"):
        fileio_for("zarr", 1, JsonFileIO())
    assert repr(NeedyFileIO(1)).endswith("NeedyFileIO(...)"), "what it was made with may be a secret"


@pytest.mark.parametrize(
    ("fileio", "shown"),
    [
        (AutoFileIO(), "AutoFileIO()"),
        (AutoFileIO(allow_pickle=False), "AutoFileIO(allow_pickle=False)"),
        (BytesFileIO(), "BytesFileIO()"),
        (CsvFileIO(), "CsvFileIO()"),
        (FeatherFileIO(), "FeatherFileIO()"),
        (FolderFileIO(), "FolderFileIO()"),
        (JsonFileIO(), "JsonFileIO()"),
        (NpyFileIO(), "NpyFileIO()"),
        (NpyFileIO(mmap_mode="r"), "NpyFileIO(mmap_mode='r')"),
        (NpzFileIO(), "NpzFileIO()"),
        (ParquetFileIO(check=False), "ParquetFileIO(check=False)"),
        (PartsFileIO(), "PartsFileIO()"),
        (PartsFileIO({"best": JsonFileIO()}), "PartsFileIO({'best': JsonFileIO()})"),
        (PickleFileIO(), "PickleFileIO()"),
        (TextFileIO(), "TextFileIO()"),
        (PlainFileIO(), "PlainFileIO()"),
    ],
)
def test_a_format_shows_how_it_was_made(fileio, shown):
    assert repr(fileio) == shown
    if type(fileio) is not PlainFileIO:
        assert repr(eval(shown)) == shown
