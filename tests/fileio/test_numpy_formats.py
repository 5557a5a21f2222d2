"""Arrays: every dtype but object, every shape and order, read in one pass, mapped, or refused."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as npst

from persistable.fileio import NpyFileIO, NpzFileIO
from persistable.fileio.equality import same_arrays
from persistable.fileio.numpy import _write_array
from persistable.testing import FileIOConformance
from persistable.testing.fileio import describe

STRUCTURED = np.array([(1, 2.5, "x")], dtype=[("größe", "i1"), ("b", ">f8"), ("c", "U3")])
ALIGNED = np.zeros(3, np.dtype([("a", "i1"), ("b", "f8", (2, 2))], align=True))
ARRAYS = (
    np.arange(12.0).reshape(3, 4),
    np.asfortranarray(np.arange(12).reshape(3, 4)),
    np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0)[::-1, ::2],
    np.array(5),
    np.array("2024-03-01", "M8[D]"),
    np.zeros((0, 3)),
    np.zeros((3, 0), order="F"),
    np.array(["", ""], "U0"),
    np.array([b"ab\0", b""]),
    np.array([1.5, np.nan, -0.0], ">f4"),
    np.array([1, 2], "m8[us]"),
    np.array([1, 2], np.longdouble),
    np.array([1j]),
    np.array([True, False]),
    STRUCTURED,
    ALIGNED,
    np.broadcast_to(np.arange(3), (4, 3)),
    np.arange(300_000.0),
)
REFUSED = (
    [1, 2],
    np.float64(1),
    np.array([None]),
    np.zeros(2, [("a", "O")]),
    np.ma.masked_array([1, 2], [True, False]),
    np.zeros(2).view(np.recarray),
    np.array(["x"], np.dtypes.StringDType()),
)


class TestNpyFileIO(FileIOConformance):
    fileio = NpyFileIO()
    payloads = ARRAYS
    refused = REFUSED


class TestNpyFileIOMapped(FileIOConformance):
    fileio = NpyFileIO(mmap_mode="r")
    payloads = ARRAYS

    def equal(self, saved, loaded):
        return same_arrays(saved, loaded)


class TestNpzFileIO(FileIOConformance):
    fileio = NpzFileIO()
    payloads = (
        {},
        {"b": np.arange(3), "a": np.array(1), "A": np.zeros((0, 2))},
        {"file": ARRAYS[0], "a/b": ARRAYS[1], "../c": ARRAYS[2], "": STRUCTURED, "x.npy": ALIGNED, "x": ARRAYS[3]},
        {"größe 株": np.arange(300_000.0)},
    )
    refused = (
        np.arange(3),
        {1: np.arange(3)},
        {"a": [1]},
        {"a": np.array([None])},
        {"a\0b": np.arange(3)},
        {"a\\b": np.arange(3)},
        {"\ud83d": np.arange(3)},
        {"x" * 70_000: np.arange(3)},
    )


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_matrix_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"does not take this matrix: .*Pass numpy.asarray\(payload\)"):
        NpyFileIO().save(np.matrix([[1]]), tmp_path / "payload.npy")


def test_the_refusal_of_objects_names_the_way_out(tmp_path):
    with pytest.raises(TypeError, match=r"dtype is object.*payload.astype\(float\)"):
        NpyFileIO().save(np.array([1, None]), tmp_path / "payload.npy")
    with pytest.raises(TypeError, match=r"at 'a', a MaskedArray: .*payload.mask"):
        NpzFileIO().save({"a": np.ma.zeros(2)}, tmp_path / "payload.npz")


@given(
    array=npst.arrays(
        dtype=st.one_of(npst.scalar_dtypes(), npst.array_dtypes(npst.scalar_dtypes(), allow_subarrays=True)),
        shape=npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    order=st.sampled_from("CFK"),
    step=st.sampled_from([1, 2, -1]),
    mmap_mode=st.sampled_from([None, "r", "c"]),
)
@settings(max_examples=200)
def test_any_array_comes_back(array, order, step, mmap_mode, tmp_path_factory):
    payload = np.array(array, order=order)
    payload = payload[::step] if payload.ndim else payload
    path = tmp_path_factory.mktemp("npy") / "payload.npy"
    NpyFileIO().save(payload, path)
    loaded = NpyFileIO(mmap_mode).load(describe(path))
    assert same_arrays(payload, loaded)
    assert same_arrays(payload, np.load(path, allow_pickle=False))


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_is_kept(order, tmp_path):
    NpyFileIO().save(np.ones((3, 4), order=order), tmp_path / "payload.npy")
    loaded = NpyFileIO().load(describe(tmp_path / "payload.npy"))
    assert loaded.flags.c_contiguous == (order == "C")
    assert loaded.flags.writeable
    assert loaded.flags.aligned


def test_a_mapped_array_is_saved_like_any_other(tmp_path):
    NpyFileIO().save(np.arange(5), tmp_path / "a.npy")
    mapped = NpyFileIO("c").load(describe(tmp_path / "a.npy"))
    assert isinstance(mapped, np.memmap)
    mapped[0] = 7
    NpyFileIO().save(mapped, tmp_path / "b.npy")
    assert NpyFileIO().load(describe(tmp_path / "b.npy")).tolist() == [7, 1, 2, 3, 4]
    assert NpyFileIO().load(describe(tmp_path / "a.npy")).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("mode", ["r+", "w+", "x", True])
def test_a_payload_is_not_mapped_for_writing(mode):
    with pytest.raises(ValueError, match="a payload file is never changed"):
        NpyFileIO(mode)


def test_a_dtype_with_a_long_header_loads(tmp_path):
    array = np.zeros(2, [(f"a_rather_long_field_name_{n}", "f4") for n in range(3000)])
    for fileio in (NpyFileIO(), NpyFileIO("r"), NpzFileIO()):
        payload = {"a": array} if isinstance(fileio, NpzFileIO) else array
        path = tmp_path / f"{fileio.format_id}{id(fileio)}{fileio.suffix}"
        fileio.save(payload, path)
        loaded = fileio.load(describe(path))
        assert same_arrays(array, loaded["a"] if isinstance(loaded, dict) else loaded)


@pytest.mark.parametrize("strided", [False, True])
def test_a_save_takes_little_memory_and_a_load_the_arrays_own(strided, tmp_path):
    base = np.zeros((3000, 10_000))  # 240 MB; never written to, so that the machine does not notice
    array = base[:, ::2] if strided else base[:, :5000].copy()
    path = tmp_path / "payload.npy"
    tracemalloc.start()
    try:
        NpyFileIO().save(array, path)
        assert tracemalloc.get_traced_memory()[1] < 0.4 * array.nbytes  # chunks of 16 MB, whatever the size
        stored = describe(path)
        tracemalloc.reset_peak()
        loaded = NpyFileIO().load(stored)
        assert tracemalloc.get_traced_memory()[1] < 1.03 * array.nbytes
    finally:
        tracemalloc.stop()
    assert loaded.shape == array.shape
    path.unlink()


def test_the_same_arrays_make_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        NpzFileIO().save({"x": np.arange(3)}, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_no_file_holds_a_pickle(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([object]), allow_pickle=True)
    for fileio in (NpyFileIO(), NpyFileIO("r")):
        with pytest.raises(ValueError, match=r"(?i)pickle|object"):
            fileio.load(describe(tmp_path / "evil.npy"))


def test_a_full_disk_is_noticed():
    """numpy.save into a small array's file is silent here: ndarray.tofile loses the error of the last flush."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    with pytest.raises(OSError, match="No space left"), full.open("r+b") as file:
        _write_array(file, np.arange(3))
