"""What a store behind a network costs: against a server on loopback, with as many bare requests as it takes at least.

The server is the S3 server of the tests, and is started once, for all of these cases; where it is not installed they
are skipped. It runs on the cores that the client runs on, so that a request costs both of them time: the figures are
ratios to what the client library needs for the same requests, without keys, manifests, digests and payloads.
"""

from __future__ import annotations

import atexit
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from persistable import LocalStore, Store
from persistable.stores import CachedStore, FsspecStore, ObjectStore

from ._large import large, make_array
from ._measure import Bench, Function, Row, Skip, case, compare, interleave, spread
from ._subjects import Points, points

_MB = 1_000_000
_TEN_KB = 1200
"""Numbers in an array whose payload is 10 kB."""

# How a server is started, and ended, is known in one place, and that is where the tests are.
_TESTS = Path(__file__).parents[1] / "tests"


@lru_cache(maxsize=1)
def _server(parent: Path) -> Any:
    """Return the server; it is ended with this process."""
    if str(_TESTS) not in sys.path:
        sys.path.append(str(_TESTS))
    try:
        import obstore  # noqa: F401 - the client
        import pytest
        import servers  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError as error:
        raise Skip(f"{error.name} is not installed") from None
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="persistable-bench-s3-", dir=parent))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            server = stack.enter_context(servers.seaweed(folder))
        except pytest.skip.Exception as error:
            raise Skip(str(error)) from None
        atexit.register(stack.pop_all().close)
    return server


class _Place:
    """A prefix of the bucket, as our store and as a store of the client library."""

    def __init__(self, bench: Bench) -> None:
        self.server = _server(bench.folder.parent)
        self.prefix = bench.folder.name
        self.url = f"s3://{self.server.bucket}/{self.prefix}"

    def store(self) -> ObjectStore:
        return ObjectStore(self.url, storage_options=self.server.options())

    def bare(self) -> Any:
        from obstore.store import S3Store

        return S3Store(self.server.bucket, prefix=self.prefix, **self.server.options())


def _subject(store: Store) -> Points:
    return points(store, n=_TEN_KB)


def _make(store: Store) -> tuple[str, str]:
    """Make the artifact; return the paths of its manifest and of its payload."""
    made = _subject(store)
    made.load_generate()
    folder = made.key.folder
    return f"{folder}/manifest.json", f"{folder}/{made.manifest.payload['file']}"


@case("hit-remote", "hit in a bucket: 10 kB")
def hit_in_bucket(bench: Bench) -> Row:
    """New params, a new object, and its payload, verified; against two GETs, one after the other, by obstore."""
    import obstore

    place = _Place(bench)
    store, bare = place.store(), place.bare()
    paths = _make(store)
    return compare(
        lambda: _subject(store).load_generate(),
        lambda: [obstore.get(bare, path).bytes() for path in paths],
        name="two GETs",
        reach=1.5,
        rounds=bench.rounds(150),
    )


@case("hit-fsspec", "the same, by s3fs")
def hit_by_fsspec(bench: Bench) -> Row:
    """The same through FsspecStore; against two GETs by s3fs.

    Not against two of its `cat_file`, which ask for the size first: four requests, where a hit takes two. How a hit
    compares to them is in the note.
    """
    try:
        import s3fs  # type: ignore[import-untyped]
        from fsspec.asyn import sync  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise Skip("s3fs is not installed") from None
    place = _Place(bench)
    options = place.server.fsspec_options()
    store = FsspecStore(place.url, storage_options=options)
    bucket = place.server.bucket
    keys = [f"{place.prefix}/{path}" for path in _make(store)]
    bare = s3fs.S3FileSystem(use_listings_cache=False, **options)

    async def get(key: str) -> bytes:
        answer = await bare._call_s3("get_object", Bucket=bucket, Key=key)
        content: bytes = await answer["Body"].read()
        return content

    ours, gets, cats = interleave(
        [
            lambda: _subject(store).load_generate(),
            lambda: [sync(bare.loop, get, key) for key in keys],
            lambda: [bare.cat_file(f"{bucket}/{key}") for key in keys],
        ],
        bench.rounds(100),
    )
    ratios = [mine / its for mine, its in zip(ours, gets, strict=True)]
    to_cats = median(mine / its for mine, its in zip(ours, cats, strict=True))
    times = {"ours": ours, "two GETs": gets, "two cat_file": cats}
    note = f"{to_cats:.2f} x two cat_file, which are four requests"
    return Row(median(ratios), 1.5, "x two GETs", spread(ratios), times=times, note=note)


@case("hit-cached", "hit in a warm cache of it")
def hit_in_cache(bench: Bench) -> Row:
    """The same through a cache; against a hit in a folder, and one GET that finds the manifest unchanged."""
    import obstore
    from obstore.exceptions import NotModifiedError

    place = _Place(bench)
    cached, bare = CachedStore(place.store(), bench.folder / "cache"), place.bare()
    folder = LocalStore(bench.folder / "folder")
    manifest, _ = _make(cached)
    _subject(cached).load_generate()  # warms the cache up
    _make(folder)
    etag = obstore.head(bare, manifest)["e_tag"]

    def floor() -> None:
        _subject(folder).load_generate()
        with contextlib.suppress(NotModifiedError):
            obstore.get(bare, manifest, options={"if_none_match": etag})
            raise AssertionError("the manifest has changed")

    ours: Function = lambda: _subject(cached).load_generate()  # noqa: E731
    return compare(ours, floor, name="local + a GET", reach=1.5, rounds=bench.rounds(150))


@case("hit-offline", "the same, with offline=True")
def hit_offline(bench: Bench) -> Row:
    """The same, with nothing asked of the server; against a hit in a folder."""
    place = _Place(bench)
    folder = LocalStore(bench.folder / "folder")
    _make(CachedStore(place.store(), bench.folder / "cache"))
    _make(folder)
    offline = CachedStore(place.store(), bench.folder / "cache", offline=True)
    return compare(
        lambda: _subject(offline).load_generate(),
        lambda: _subject(folder).load_generate(),
        name="local",
        reach=1.5,
        rounds=bench.rounds(150),
    )


@case("npy-download", "256 MB by npy out of a bucket")
def download(bench: Bench) -> Row:
    """A new object and its payload, verified; against the fastest way in which obstore brings the same bytes here."""
    place = _Place(bench)
    size = bench.size(256 * _MB)
    store = place.store()
    subject = large(store, size, of=make_array(size))
    subject.generate()
    path = f"{subject.key.folder}/{subject.manifest.payload['file']}"
    total = subject.manifest.payload["size"]
    subject.reset_payload()
    del subject.source

    floors = _downloads(place.bare(), path, total, bench.folder / "download")
    ours, *theirs = interleave(
        [lambda: large(store, size).load_generate(), *floors.values()],
        bench.rounds(9),
        before=lambda: _touch(size),
    )
    name, best = min(zip(floors, theirs, strict=True), key=lambda found: median(found[1]))
    ratios = [its / mine for mine, its in zip(ours, best, strict=True)]
    others = {key: f"{median(times):.2g} s" for key, times in zip(floors, theirs, strict=True) if key != name}
    return Row(
        median(ratios),
        0.8,
        "x speed of the fastest",
        spread(ratios),
        at_least=True,
        times={"ours": ours, name: best},
        note=f"{total / median(ours) / 1e9:.2f} GB/s; " + ", ".join(f"{key} {took}" for key, took in others.items()),
    )


def _touch(size: int) -> None:
    """Have the memory here that a download needs; see cases_large."""
    np.empty(2 * size, np.uint8)[::4096] = 1


def _downloads(bare: Any, path: str, size: int, file: Path) -> dict[str, Callable[[], Any]]:
    """Return ways to download an object, by name."""
    import obstore

    part = 8 * 2**20
    starts = range(0, size, part)
    ends = [min(start + part, size) for start in starts]

    def into_memory() -> Any:
        content = np.empty(size, np.uint8)

        def bring(start: int, end: int) -> None:
            content.data[start:end] = obstore.get_range(bare, path, start=start, end=end)

        _at_once(bring, starts, ends)
        return content

    def into_file() -> None:
        with open(file, "wb", buffering=0) as target:
            for piece in obstore.get(bare, path).stream(min_chunk_size=part):
                target.write(piece)

    return {
        "get": lambda: obstore.get(bare, path).bytes(),
        "stream to a file": into_file,
        "get_ranges": lambda: obstore.get_ranges(bare, path, starts=starts, ends=ends),
        "8 threads of get_range": into_memory,
    }


def _at_once(work: Callable[[int, int], None], starts: Iterable[int], ends: Iterable[int]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, starts, ends))
