"""S3 and its look-alikes, through s3fs: one request for each thing to do, where s3fs makes several of some.

A create is a PUT on the condition that nothing is there; an unchanged file is not sent again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ..base import Entry
from .client import FsspecClient, callback, modified
from .errors import status_of

__all__ = ["S3Client"]

_MOST_PARTS = 9_000  # S3 takes 10,000
PART, AT_ONCE = 8 * 2**20, 4  # less than elsewhere: all that is under way has to be sent within botocore's time-out


class S3Client(FsspecClient):
    """Requests by the operations of S3 itself, which s3fs signs, sends and repeats."""

    @contextlib.contextmanager
    def _bucket(self) -> Iterator[tuple[Any, str, str]]:
        """Give the file system, the bucket, and what all keys there begin with."""
        with self.file_system() as fs:
            bucket, prefix, _ = fs.split_path(self.root)
            yield fs, bucket, f"{prefix}/" if prefix else ""

    def _call(self, operation: str, path: str, **arguments: Any) -> Any:
        with self._bucket() as (fs, bucket, prefix):
            return fs.call_s3(operation, Bucket=bucket, Key=prefix + path, **arguments)

    def _get(self, path: str, **conditions: str) -> tuple[bytes, str | None]:
        from fsspec.asyn import sync  # type: ignore[import-untyped]

        async def get() -> tuple[bytes, str | None]:
            tries = fs.retries
            while True:
                answer = await fs._call_s3("get_object", Bucket=bucket, Key=prefix + path, **conditions)
                try:
                    return await answer["Body"].read(), answer.get("ETag")
                except Exception:  # cut off; s3fs only repeats what comes before the body
                    tries -= 1
                    if tries <= 0:
                        raise
                finally:
                    answer["Body"].close()

        with self._bucket() as (fs, bucket, prefix):
            found: tuple[bytes, str | None] = sync(fs.loop, get)
            return found

    def get(self, path: str, etag: str | None = None) -> tuple[bytes, str | None] | None:
        if etag is None:
            return self._get(path)
        try:
            return self._get(path, IfNoneMatch=etag)
        except TypeError:  # aiobotocore stumbles over an answer 304 that has a checksum: ask without the condition
            return self._get(path)
        except OSError as error:
            if status_of(error) == 304:
                return None
            raise

    def get_part(self, path: str, start: int, stop: int | None) -> Any:
        if stop is None:
            return self._get(path)[0]
        try:
            return self._get(path, Range=f"bytes={start}-{stop - 1}")[0]
        except OSError as error:
            if status_of(error) == 416:  # there is nothing from `start` on
                return b""
            raise

    def size(self, path: str) -> int:
        return int(self._call("head_object", path)["ContentLength"])

    def create_or_raise(self, path: str, data: bytes) -> None:
        self._call("put_object", path, Body=data, IfNoneMatch="*")

    def put(self, path: str, data: bytes) -> None:
        self._call("put_object", path, Body=data)

    def upload(self, local: str, path: str, size: int, advance: Callable[[int], None]) -> None:
        part = max(PART, -(-size // _MOST_PARTS))
        with self.file_system() as fs:
            # s3fs reads so many parts, and sends them all, before it reads the next.
            fs.put_file(local, self.at(path), callback=callback(advance), chunksize=part, max_concurrency=AT_ONCE)

    def list(self, folder: str) -> Iterator[Entry]:
        with self._bucket() as (fs, bucket, prefix):
            arguments = {"Bucket": bucket, "Prefix": f"{prefix}{folder}/" if folder else prefix}
        while True:
            page = fs.call_s3("list_objects_v2", **arguments)
            for found in page.get("Contents", ()):
                if not found["Key"].endswith("/"):  # a marker that some tools write for a folder
                    yield Entry(found["Key"].removeprefix(prefix), found["Size"], modified(found))
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, path: str) -> None:
        self._call("delete_object", path)
