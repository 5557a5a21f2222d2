"""Searches with Optuna as artifacts: resumable, shareable, exact.

What a study is can be said without Optuna, and enters its key: the search :mod:`.space`, and by which
:mod:`.algorithms` it is searched. :mod:`.seeding` makes the draws of a trial depend on the seed and on which trial it
is, and on nothing else: 10 trials and then 14 are the same 24 as in one go.

While trials run, they lie in one of the :mod:`.storages`, which many workers share (:mod:`.opening`, :mod:`.search`,
:mod:`.workers`, :mod:`.processes`). What is persisted are :mod:`.snapshots`. How far a study has come is told by
:mod:`.tally`, and shown by :mod:`.views`.
"""

from __future__ import annotations

from ._study import StudyP
from .algorithms import Operator, Pruner, Sampler
from .best import BestParamsP, BestParamsParams
from .fileio import StudyFileIO
from .params import StudyParams
from .space import Categorical, Float, Int

__all__ = [
    "BestParamsP",
    "BestParamsParams",
    "Categorical",
    "Float",
    "Int",
    "Operator",
    "Pruner",
    "Sampler",
    "StudyFileIO",
    "StudyP",
    "StudyParams",
]
