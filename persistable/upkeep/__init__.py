"""Keep a store clean: verify it, see what takes the room, copy, and remove what is not needed any more.

What is not known is never touched: files of others, artifacts of a newer persistable or of persistable 1.x.

Each function is told where (a folder, a URL, a store or a catalogue), and where that matters which artifacts (keys,
their beginnings, or records). It does its work before it returns, and returns a result that can be printed, looked at
in a notebook, counted, and written as JSON (``to_dict()``).
"""

from __future__ import annotations

from .copying import Copied, Copies, copy
from .doctor import diagnose
from .findings import Finding, Findings
from .plans import Outcome, Outcomes, Plan
from .pruning import plan
from .removal import Removed, remove
from .usage import Usage, usage
from .verify import verify

__all__ = [
    "Copied",
    "Copies",
    "Finding",
    "Findings",
    "Outcome",
    "Outcomes",
    "Plan",
    "Removed",
    "Usage",
    "copy",
    "diagnose",
    "plan",
    "remove",
    "usage",
    "verify",
]
