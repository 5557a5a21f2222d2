"""The language of conditions: ``params.n > 100 and metrics.rmse < 0.01``.

It is the syntax of Python, of which a little is understood; nothing is evaluated. Each comparison becomes a set of
artifacts: those that have what it asks for, and for which it holds. ``and``, ``or`` and ``not`` combine these sets. So

- a comparison is false for an artifact that has no such param, also ``!=``; ``not params.n == 5`` is true for it;
- ``params.n is None`` is true where it is None and where there is none;
- a number is compared with numbers only, text with text, True with True: ``params.n == 1`` does not find True;
- ``"best" in tags`` asks for an element of a list, ``"lstm" in payload_name`` for a part of a text.

What no artifact at all has is an error, with the names that are near: a misspelt name would quietly find nothing.
"""

from __future__ import annotations

import ast
import datetime as dt
import difflib
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, NoReturn

from .._text import printable
from ..exceptions import QueryError
from .index import Index
from .values import BOOL, LIST, NONE, NUMBER, TEXT, kind_and_value

__all__ = ["Sql", "condition", "sort_key"]

_COLUMNS: Final = {"payload_name": TEXT, "key": TEXT, "state": TEXT, "at": TEXT, "size": NUMBER, "modified": NUMBER}
_FACTS: Final = ("seconds", "user", "host", "class_name", "version", "format", "type", "summary", "digest", "tags")
_TREES: Final = ("params", "metrics", "dependencies")
_OPERATORS: Final[dict[type, str]] = {
    ast.Eq: "=",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_TURNED: Final = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_MANUAL: Final = (
    f"What can be asked for: params.x, metrics.x, dependencies.<role>.params.x, {', '.join([*_COLUMNS, *_FACTS])}; "
    f"with ==, !=, <, <=, >, >=, in, not in, is None, is not None, and, or, not."
)
_DEEPEST: Final = 50  # levels of an expression, and
_MOST: Final = 50  # comparisons in it; what a person writes has a few
_LONGEST: Final = 10_000  # elements of a list


class Sql(NamedTuple):
    """A part of a statement, and the values that are bound to its question marks."""

    text: str
    values: tuple[Any, ...] = ()


class _Field(NamedTuple):
    steps: tuple[str | int, ...]
    node: ast.expr

    @property
    def is_time(self) -> bool:
        return self.steps[-1] == "at" and (len(self.steps) == 1 or self.steps[-3:-2] == ("dependencies",))


class _Constant(NamedTuple):
    value: Any
    node: ast.expr


def condition(index: Index, expression: str) -> Sql:
    """Return `expression` as a condition on the rows of ``artifact a``.

    Raises
    ------
    QueryError
        If it is none, or asks for something that no artifact has.
    """
    return _Compiler(index, expression).compiled()


def sort_key(index: Index, name: str) -> tuple[str, str]:
    """Return by what to sort, as SQL, and a join that it needs, for ``at``, ``params.n``, ``-metrics.rmse``.

    What has no such value comes last, in both directions.
    """
    expression = name.removeprefix("-")
    compiler = _Compiler(index, expression)
    field = compiler.field(compiler.parsed())
    if isinstance(field, _Constant) or field.steps[0] == "dependencies":
        compiler.fail("Sort by a column, a param or a metric", field.node)
    down = " DESC" if name.startswith("-") else ""
    if field.steps[0] in _COLUMNS:
        column = f"a.{field.steps[0]}"
        # NULL is the smallest. What is equal comes in the order of an index read backwards: fifty are found at once.
        order = f"{column} DESC" if down else f"{column} IS NULL, {column}"
        return f"{order}, a.key DESC, a.path", ""
    table = compiler.table_of(field)
    return (
        f"s.kind IS NULL, s.kind = {NONE}, s.kind, s.value{down}, a.key DESC, a.path",
        f"LEFT JOIN {table} s ON s.id = a.id",
    )


class _Compiler:
    def __init__(self, index: Index, expression: str) -> None:
        self.index = index
        self.expression = expression
        self.comparisons = 0

    def parsed(self) -> ast.expr:
        try:
            tree = ast.parse(self.expression.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            place = error.offset if isinstance(error, SyntaxError) else None
            self._raise(f"It is no expression: {getattr(error, 'msg', error)}.", place)
        return tree.body

    def compiled(self) -> Sql:
        return self._truth(self.parsed(), _DEEPEST)

    def fail(self, problem: str, node: ast.AST) -> NoReturn:
        self._raise(problem if problem.endswith("?") else f"{problem}.", getattr(node, "col_offset", 0) + 1)

    def _raise(self, problem: str, place: int | None) -> NoReturn:
        line = printable(self.expression.strip().replace("\n", " "), 200)
        mark = f"\n    {' ' * min(place - 1, len(line))}^" if place is not None and place > 0 else ""
        raise QueryError(f"{problem}\n    {line}{mark}\n{_MANUAL}")

    def _truth(self, node: ast.expr, levels: int) -> Sql:
        if levels == 0:
            self.fail("The condition is nested too deeply", node)
        if isinstance(node, ast.BoolOp):
            parts = [self._truth(value, levels - 1) for value in node.values]
            word = " AND " if isinstance(node.op, ast.And) else " OR "
            return Sql(f"({word.join(part.text for part in parts)})", tuple(v for part in parts for v in part.values))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            part = self._truth(node.operand, levels - 1)
            return Sql(f"(NOT {part.text})", part.values)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            parts = [self._comparison(sides[i], op, sides[i + 1]) for i, op in enumerate(node.ops)]
            return Sql(f"({' AND '.join(part.text for part in parts)})", tuple(v for p in parts for v in p.values))
        side = self.field(node)
        if isinstance(side, _Constant):
            self.fail("This is no condition", node)
        return self._found(side, Sql(f"f.kind = {BOOL} AND f.value = 1"))  # a flag

    def _comparison(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> Sql:
        self.comparisons += 1
        if self.comparisons > _MOST:
            self.fail(f"There are more than {_MOST} comparisons", left)
        if isinstance(operator, ast.In | ast.NotIn):
            part = self._membership(left, right)
            return part if isinstance(operator, ast.In) else Sql(f"(NOT {part.text})", part.values)
        one, other = self.field(left), self.field(right)
        if isinstance(one, _Constant) and isinstance(other, _Constant):
            self.fail("Two constants are compared with each other", left)
        if isinstance(operator, ast.Is | ast.IsNot):
            return self._identity(one, operator, other)
        sign = _OPERATORS[type(operator)]
        if isinstance(one, _Field) and isinstance(other, _Field):
            return self._two_fields(one, sign, other)
        if isinstance(one, _Constant):
            one, sign, other = other, _TURNED[sign], one
        assert isinstance(one, _Field)
        assert isinstance(other, _Constant)
        if other.value is None:
            return self._identity(one, ast.Is() if sign == "=" else ast.IsNot(), other)
        return self._found(one, self._compared(one, sign, other))

    def _identity(self, one: _Field | _Constant, operator: ast.cmpop, other: _Field | _Constant) -> Sql:
        if not (isinstance(one, _Field) and isinstance(other, _Constant)):
            self.fail("'is' asks for None, True or False, on its right", one.node)
        if other.value is not None:
            if not isinstance(other.value, bool):
                self.fail("'is' asks for None, True or False, on its right", other.node)
            return self._found(one, self._compared(one, "=" if isinstance(operator, ast.Is) else "!=", other))
        there = self._found(one, Sql(f"f.kind != {NONE}"))
        return there if isinstance(operator, ast.IsNot) else Sql(f"(NOT {there.text})", there.values)

    def _compared(self, field: _Field, sign: str, constant: _Constant) -> Sql:
        """Return the condition on kind and value of a field."""
        value = constant.value
        if field.is_time and isinstance(value, str):
            value = self._time(constant)
        if isinstance(value, list | tuple | set):
            self.fail("A list is for 'in'", constant.node)
        kind, bound = kind_and_value(value)
        if sign == "!=":
            return Sql("f.kind != ? OR f.value != ?", (kind, bound))
        return Sql(f"f.kind = ? AND f.value {sign} ?", (kind, bound))

    def _time(self, constant: _Constant) -> str:
        """Return a time as manifests write it: in UTC; a day is its first second."""
        try:
            time = dt.datetime.fromisoformat(constant.value)
        except ValueError:
            self.fail(f"{constant.value!r} is no time: write it as '2026-11-01' or '2026-11-01T12:30'", constant.node)
        time = time.astimezone(dt.UTC) if time.tzinfo else time.replace(tzinfo=dt.UTC)
        return time.isoformat(timespec="microseconds" if time.microsecond else "seconds")

    def _two_fields(self, one: _Field, sign: str, other: _Field) -> Sql:
        left, right = self._source(one.steps, one.node), self._source(other.steps, other.node)
        unlike = " OR x.kind != y.kind" if sign == "!=" else ""
        kinds = "" if sign == "!=" else "x.kind = y.kind AND "
        return Sql(
            f"a.id IN (SELECT x.id FROM ({left.text}) x JOIN ({right.text}) y ON x.id = y.id "
            f"WHERE {kinds}(x.value {sign} y.value{unlike}))",
            left.values + right.values,
        )

    def _membership(self, left: ast.expr, right: ast.expr) -> Sql:
        one, other = self.field(left), self.field(right)
        if isinstance(one, _Field) and isinstance(other, _Constant):
            if not isinstance(other.value, list | tuple | set):
                self.fail("On the right of 'in' stands a list, such as [1, 2], or a field", right)
            if len(other.value) > _LONGEST:
                self.fail(f"The list has more than {_LONGEST:,} elements", right)
            return self._found(one, self._one_of(one, other))
        if not (isinstance(one, _Constant) and isinstance(other, _Field)):
            self.fail("'in' stands between a field and a list, or between a constant and a field", left)
        kind, value = kind_and_value(one.value)
        types = {TEXT: "('text')", NUMBER: "('integer', 'real')", NONE: "('null')", BOOL: "('true', 'false')"}
        if kind not in types:
            self.fail("A list cannot be an element", left)
        same = "1" if kind == NONE else "j.value = ?"
        element = (
            f"f.kind = {LIST} AND EXISTS (SELECT 1 FROM json_each(f.value) j WHERE j.type IN {types[kind]} AND {same})"
        )
        if kind == NONE:
            return self._found(other, Sql(element))
        if kind != TEXT:
            return self._found(other, Sql(element, (value,)))
        return self._found(other, Sql(f"({element}) OR (f.kind = {TEXT} AND instr(f.value, ?) > 0)", (value, value)))

    def _one_of(self, field: _Field, constants: _Constant) -> Sql:
        values: dict[int, list[Any]] = {}
        for item in constants.value:
            if isinstance(item, str) and field.is_time:
                item = self._time(_Constant(item, constants.node))
            kind, value = kind_and_value(item)
            values.setdefault(kind, []).append(value)
        parts = [
            f"f.kind = {NONE}" if kind == NONE else f"f.kind = {kind} AND f.value IN ({', '.join('?' * len(some))})"
            for kind, some in values.items()
        ]
        bound = (value for kind, some in values.items() if kind != NONE for value in some)
        return Sql(" OR ".join(parts) or "0", tuple(bound))

    def _found(self, field: _Field, test: Sql) -> Sql:
        """Return the set of the artifacts whose value of a field passes a test."""
        source = self._source(field.steps, field.node)
        return Sql(f"a.id IN (SELECT f.id FROM ({source.text}) f WHERE {test.text})", source.values + test.values)

    def _source(self, steps: Sequence[str | int], node: ast.expr) -> Sql:
        """Return the rows (id, kind, value) of a field."""
        name = steps[0]
        if name in _COLUMNS:
            return Sql(
                f"SELECT id, {_COLUMNS[str(name)]} AS kind, {name} AS value FROM artifact WHERE {name} IS NOT NULL"
            )
        if name != "dependencies":
            return Sql(f"SELECT id, kind, value FROM {self.table_of(_Field(tuple(steps), node))}")
        edges, role, inner = self.index.edges(), steps[1], steps[2:]
        if role not in (roles := self.index.roles()) and self._has_artifacts():
            self.fail(f"No artifact has an upstream of the role {role!r}{_near(str(role), roles)}", node)
        part = self._source(inner, node)
        return Sql(
            f"SELECT e.id, s.kind, s.value FROM {edges} e JOIN artifact u ON u.key = e.key AND "
            f"u.payload_name = e.payload_name JOIN ({part.text}) s ON s.id = u.id WHERE e.role = ?",
            (*part.values, role),
        )

    def table_of(self, field: _Field) -> str:
        table = self.index.field(*field.steps)
        if field.steps[0] in ("params", "metrics") and not self.index.query(f"SELECT 1 FROM {table} LIMIT 1"):
            names = self.index.names_of_fields()
            if names:
                spelled = _spelled(field.steps)
                same = {_spelled(name) for name in names if name[0] == field.steps[0]}
                self.fail(f"No artifact has {spelled}{_near(spelled, same)}", field.node)
        return table

    def _has_artifacts(self) -> bool:
        return bool(self.index.query("SELECT 1 FROM artifact WHERE state = 'whole' LIMIT 1"))

    def field(self, node: ast.expr) -> _Field | _Constant:
        """Return what stands on one side of a comparison."""
        try:
            return _Constant(ast.literal_eval(node), node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            steps = self._steps(node)
        first, level = steps[0], 0
        while steps[level] == "dependencies":
            if len(steps) < level + 3:
                self.fail("Ask for dependencies.<role>.params.x, or dependencies.<role>.key", node)
            level += 2
        name = steps[level]
        if name in ("params", "metrics"):
            if len(steps) == level + 1:
                self.fail(f"Ask for one of the {name}: {name}.x", node)
        elif name in _COLUMNS or name in _FACTS:
            if len(steps) > level + 1:
                self.fail(f"{name} has no parts", node)
        else:
            known = {*_COLUMNS, *_FACTS, *_TREES}
            paths = sorted(_spelled(path) for path in self.index.names_of_fields() if path[-1] == name)
            hint = f": did you mean {' or '.join(paths[:3])}?" if paths else _near(str(name), known)
            self.fail(f"There is no field {str(first if level == 0 else name)!r}{hint}", node)
        return _Field(steps, node)

    def _steps(self, node: ast.expr) -> tuple[str | int, ...]:
        steps: list[str | int] = []
        at = node
        while not isinstance(at, ast.Name):
            if isinstance(at, ast.Attribute):
                steps.append(at.attr)
                at = at.value
            elif isinstance(at, ast.Subscript):
                step = self.field(at.slice) if not isinstance(at.slice, ast.Slice) else None
                if not (isinstance(step, _Constant) and isinstance(step.value, str | int)):
                    self.fail('In brackets stands a name in quotes, params["odd name"], or a number', at)
                steps.append(step.value)
                at = at.value
            else:
                self.fail("This is not understood", at)
        return (at.id, *reversed(steps))


def _spelled(steps: Sequence[str | int]) -> str:
    return str(steps[0]) + "".join(
        f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{json.dumps(step)}]" for step in steps[1:]
    )


def _near(name: str, known: set[str]) -> str:
    near = [printable(one, 60) for one in difflib.get_close_matches(name, known, 3, 0.6)]
    return f": did you mean {' or '.join(near)}?" if near else ""
