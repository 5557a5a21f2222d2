"""Which of the two: the remote store, or the folder of this machine while that one is out of reach.

Whoever finds the remote store out of reach has waited for it; for a while, nobody of this process asks it again. An
outage is said once, however long it lasts. The first answer ends it: that there is no such file is one too.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..._warn import warn
from ...exceptions import OfflineWarning, StoreError
from ..base import Store

__all__ = ["Outage", "away", "require_drive"]

T = TypeVar("T")

PAUSE = 30.0
"""Seconds for which a remote store that was out of reach is not asked again: who waits for it once need not twice.

Each time that it is still out of reach, it is twice as long.
"""

LONGEST_PAUSE = 600.0


class Outage:
    """What is known of a remote store that is out of reach.

    Parameters
    ----------
    folder : Path
        The folder that is used meanwhile.
    offline : bool
        Whether the remote store is not to be asked at all; nothing is said of that.
    """

    def __init__(self, folder: Path, offline: bool) -> None:
        self.offline = offline
        self._folder = folder
        self._end()

    def __reduce__(self) -> tuple[type[Outage], tuple[Path, bool]]:
        # Another machine counts its seconds from elsewhere, and may well reach the remote store.
        return Outage, (self._folder, self.offline)

    def _end(self) -> None:
        self._until = 0.0  # on the monotonic clock
        self._pause = PAUSE
        self._problem = "The store is offline."
        self._is_told = False

    @property
    def is_reachable(self) -> bool:
        """Whether the remote store is to be asked."""
        return not self.offline and time.monotonic() >= self._until

    def error(self) -> StoreError:
        """Return the error for what the remote store alone could do."""
        return away(self._problem)

    def either(self, there: Callable[[], T], here: Callable[[], T], *, quietly: bool = False) -> T:
        """Do something with the remote store; or, if that is out of reach, in the folder of this machine.

        `quietly` is for what threads of our own ask for, and for what nobody sees: the next manifest tells.
        """
        if self.is_reachable:
            try:
                return self.there(there)
            except StoreError as error:
                if not _is_away(error):
                    raise
        if not quietly and not self.offline and not self._is_told:
            self._is_told = True
            warn(
                f"{self._problem.rstrip('.')}. Until it is back, what {self._folder} holds of it is used; "
                f"what is made is kept there, and published later.",
                OfflineWarning,
            )
        return here()

    def there(self, operation: Callable[[], T]) -> T:
        """Do something with the remote store, and remember whether it was within reach."""
        try:
            found = operation()
        except StoreError as error:
            if _is_away(error):
                self._until = time.monotonic() + self._pause
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
                self._problem = str(error)
            raise
        except FileNotFoundError:
            self._end()
            raise
        self._end()
        return found


def _is_away(error: StoreError) -> bool:
    """Return whether an error says that a store is out of reach, and not only that it is busy with somebody else."""
    return error.transient and error.errno != errno.EBUSY


def require_drive(remote: Store) -> None:
    """Raise an error if it is a whole drive that is missing: nothing was removed there, it is not mounted.

    What is only here would be sent to the disk of this machine, and be covered by the drive as soon as it is back.
    """
    root = remote.local_path("")
    if root is not None and not os.path.isdir(root):
        raise away(f"The folder {root} is not there. Mount the drive.")


def away(problem: str) -> StoreError:
    """Return the error that says that a store is out of reach."""
    error = StoreError(problem)
    error.transient = True
    return error
