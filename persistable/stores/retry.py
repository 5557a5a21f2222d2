"""RetryStore: a store around another one, that tries again what failed for the moment.

Which failures these are, the wrapped store says (:attr:`~persistable.exceptions.StoreError.transient`). A failure may
hide a success: the request arrived, and its answer was lost. Most operations can simply be repeated all the same; where
that would give a wrong answer, what lies in the store is looked at first.

The pauses are tenacity's. It has no dependencies; stamina, which is built on it, would add a switch that turns off all
retries of a process, and an application may have used that for its own. tenacity is imported when something has
failed, because that takes longer than to import all of persistable.
"""

from __future__ import annotations

import importlib.util
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from ..exceptions import MissingDependencyError, StoreError
from .base import Entry
from .wrapper import WrapperStore

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from . import DataDir

__all__ = ["RetryStore"]

T = TypeVar("T")

_logger = logging.getLogger("persistable.stores")


class RetryStore(WrapperStore):
    """All that `inner` does, several times if it must.

    Only a StoreError that is `transient` leads to another try: never a file that is not there, a create that lost, a
    permission that is denied, or Ctrl-C. Each try is logged to ``persistable.stores``, at INFO.

    Parameters
    ----------
    inner : Store
        The store whose operations may fail for the moment.
    attempts : int
        How often an operation is tried in all, at most.
    wait : float
        Seconds before the second try, at most; twice as many before each further one. How many of them is left to
        chance, so that those who failed together do not come back together.
    longest_wait : float
        Seconds between two tries, at most.

    Raises
    ------
    MissingDependencyError
        If tenacity is not installed.
    ValueError
        If one of the numbers makes no sense.

    Examples
    --------
    >>> import errno, tempfile
    >>> from persistable.stores import LocalStore
    >>> from persistable.testing.faults import Fault, FaultyStore, fail
    >>> away = Fault(1, fail(errno.ETIMEDOUT, transient=True), "after", only="create")
    >>> store = RetryStore(FaultyStore(LocalStore(tempfile.mkdtemp()), away))
    >>> store.create("points/lease/0", b"mine")
    True
    """

    def __init__(self, inner: DataDir, *, attempts: int = 5, wait: float = 0.1, longest_wait: float = 10.0) -> None:
        super().__init__(inner)
        if attempts < 1:
            raise ValueError(f"attempts must be 1 or more, because the first try is one of them; got {attempts!r}.")
        if not (wait >= 0 and longest_wait >= 0):
            raise ValueError(f"wait and longest_wait must be seconds, 0 or more; got {wait!r} and {longest_wait!r}.")
        if importlib.util.find_spec("tenacity") is None:
            raise MissingDependencyError.of("tenacity", extra="retry", purpose="RetryStore")
        self.attempts = attempts
        self.wait = wait
        self.longest_wait = longest_wait

    def read(self, path: str) -> bytes:
        return self._tried(f"read {path}", lambda: self.inner.read(path))

    def read_if_changed(self, path: str, etag: str | None) -> tuple[bytes, str | None] | None:
        return self._tried(f"read {path}", lambda: self.inner.read_if_changed(path, etag))

    def create(self, path: str, data: bytes) -> bool:
        failed = False

        def create() -> bool:
            nonlocal failed
            try:
                # A create that failed may have happened. Nobody else writes these bytes, so that they tell.
                if failed and (found := self._found(path)) is not None:
                    return found == data
                created = self.inner.create(path, data)
                return created or (failed and self._found(path) == data)
            except StoreError:
                failed = True
                raise

        return self._tried(f"create {path}", create)

    def replace(self, path: str, data: bytes) -> None:
        self._tried(f"replace {path}", lambda: self.inner.replace(path, data))

    def list(self, folder: str) -> Iterator[Entry]:
        # In full before the first is given away: what has been given cannot be taken back for another try.
        yield from self._tried(f"list {folder}", lambda: tuple(self.inner.list(folder)))

    def delete(self, path: str) -> None:
        self._tried(f"delete {path}", lambda: self.inner.delete(path))

    def drop(self, path: str) -> None:
        self._tried(f"drop {path}", lambda: self.inner.drop(path))

    def fetch(self, path: str, size: int | None = None) -> str:
        return self._tried(f"fetch {path}", lambda: self.inner.fetch(path, size))

    def put(self, local: str, path: str) -> None:
        failure: StoreError | None = None

        def put() -> None:
            nonlocal failure
            # Gone from here: a try that failed has moved it, or has lost it. Nobody else writes to `path`.
            if failure is not None and not os.path.lexists(local):
                if not self._is_there(path):
                    raise failure
                return
            try:
                self.inner.put(local, path)
            except StoreError as error:
                failure = error
                raise

        self._tried(f"put {path}", put)

    def spool(self, path: str) -> str:
        return self._tried(f"spool {path}", lambda: self.inner.spool(path))

    # Not settle(): a disk that failed to take something may say so once, and then that all is well.

    def _found(self, path: str) -> bytes | None:
        try:
            return self.inner.read(path)
        except FileNotFoundError:
            return None

    def _is_there(self, path: str) -> bool:
        return any(
            entry.path == path or entry.path.startswith(f"{path}/")
            for entry in self.inner.list(path.rpartition("/")[0])
        )

    def _tried(self, what: str, operation: Callable[[], T]) -> T:
        try:
            return operation()
        except StoreError as error:
            if not error.transient or self.attempts == 1:
                raise
            first = error
        return self._tried_again(what, operation, first)

    def _tried_again(self, what: str, operation: Callable[[], T], first: StoreError) -> T:
        import tenacity

        made = itertools.count()

        def attempt() -> T:
            if next(made) == 0:
                raise first
            return operation()

        def say(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome is not None else None
            pause = state.next_action.sleep if state.next_action is not None else 0.0
            _logger.info(
                f"{error} Try {state.attempt_number + 1} of {self.attempts} to {what} in {self.url}, in {pause:.2g} s."
            )

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=tenacity.wait_random_exponential(multiplier=self.wait, max=self.longest_wait),
            retry=tenacity.retry_if_exception(_is_transient),
            before_sleep=say,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except StoreError as error:
            if error.transient:
                error.add_note(f"persistable: RetryStore tried to {what} {self.attempts} times, and gave up.")
            raise


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, StoreError) and error.transient
