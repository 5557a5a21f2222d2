"""How fast persistable is, each case as a ratio to a floor that is measured in the same run.

``python -m benchmarks`` prints a table. The cases and what they must reach are those of the project's plan; each is
one function in one of the ``cases_*`` modules, whose docstring says what is measured, and against what.
"""
