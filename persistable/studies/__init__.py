"""Searches with Optuna as artifacts: resumable, shareable, exact.

What a study is can be said without Optuna, and enters its key: the search :mod:`.space`, and by which
:mod:`.algorithms` it is searched. :mod:`.seeding` makes the draws of a trial depend on the seed and on which trial it
is, and on nothing else: 10 trials and then 14 are the same 24 as in one go.
"""
