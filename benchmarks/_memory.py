"""The peak memory of one load or save, measured in a process of its own: ``python -m benchmarks._memory ...``.

Not ru_maxrss: a process inherits that from the one that started it, which may just have held a gigabyte. VmHWM, of
Linux, is the same figure, and begins anew with each program.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._large import Large, large, make_array

__all__ = ["extra_memory"]


def extra_memory(action: str, folder: Path, size: int) -> float:
    """Return the bytes beyond the array's own that it takes to "load" or to "save" an array of `size` bytes."""
    command = [sys.executable, "-m", __spec__.name, action, str(folder), str(size)]
    root = Path(__file__).parents[1]
    return float(json.loads(subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout))


def _peak() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status does not say VmHWM")


def _main(action: str, folder: Path, size: int) -> None:
    subject = large(folder, size)
    # First a small one, so that what is imported and allocated once does not count.
    large(folder / "small", 8_000, of=make_array(8_000)).load_generate()
    large(folder / "small", 8_000).load()
    run: Callable[[Large], Any]
    if action == "load":
        run, own = Large.load, size
    else:
        subject.source = make_array(size)
        run, own = Large.generate, 0
    before = _peak()
    payload = run(subject)
    assert payload.nbytes == size
    print(json.dumps(_peak() - before - own))


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
