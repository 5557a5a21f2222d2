"""What ``import`` costs, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from ._measure import Bench, Row, case, interleave, spread

_ROOT = Path(__file__).parents[1]

_IMPORT = """
from persistable import Persistable, PersistableParams
import sys
assert "numpy" not in sys.modules, "numpy was imported"
"""
"""The names are asked for, because ``import persistable`` alone is lazy, and would measure nothing."""


@case("import", "import, over bare Python")
def import_over_bare_python(bench: Bench) -> Row:
    """A Python that imports what every user imports, less one that does nothing. It fails if numpy comes along."""
    # Where compiled modules may not be written beside the sources, each import would compile anew.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPATH": str(_ROOT), "PYTHONPYCACHEPREFIX": str(bench.folder)}

    def run(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)

    ours, floor = interleave([lambda: run(_IMPORT), lambda: run("pass")], bench.rounds(25))
    differences = [(mine - its) * 1e3 for mine, its in zip(ours, floor, strict=True)]
    return Row(median(differences), 40, "ms", spread(differences), times={"ours": ours, "bare": floor})
