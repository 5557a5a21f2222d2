"""Keep a store clean: verify it, see what takes the room, copy, and remove what is not needed any more.

What is not known is never touched: files of others, artifacts of a newer persistable or of persistable 1.x.
"""

from __future__ import annotations

from .copying import Copied, copy
from .doctor import diagnose
from .pruning import Outcome, Plan, plan
from .removal import Removed, remove
from .usage import Usage, usage
from .verify import Finding, verify

__all__ = [
    "Copied",
    "Finding",
    "Outcome",
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
