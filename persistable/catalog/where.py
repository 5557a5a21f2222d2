"""The language of conditions: ``params.n > 100 and metrics.rmse < 0.01``.

It is the syntax of Python, of which a little is understood; nothing is evaluated. Each comparison becomes a set of
artifacts: those that have what it asks for, and for which it holds. ``and``, ``or`` and ``not`` combine these sets. So

- a comparison is false for an artifact that has no such param, also ``!=`` and ``not in``; ``not params.n == 5`` is
  true for it;
- ``params.n is None`` is true where it is None and where there is none;
- a number is compared with numbers only, text with text, True with True: ``params.n == 1`` finds 1.0, as in Python,
  but not True;
- ``params.lags == [1, 2]`` finds that list, and ``== (1, 2)`` that tuple: to a key, they are two values;
- ``params.n in (1, 2)`` asks for one of these, ``"best" in tags`` for an element of a list, ``"lstm" in payload_name``
  for a part of a text;
- times are written as text, ``at > "2026-11-01"``, in UTC unless they say otherwise; sizes are numbers of bytes.

What no artifact at all has is an error, with the names that are near: a misspelt name would quietly find nothing.
"""

from __future__ import annotations

import ast
import datetime as dt
import difflib
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from .._text import printable
from ..exceptions import QueryError
from .index import Index
from .values import BOOL, LIST, LISTS, NONE, NUMBER, TEXT, TUPLE, kind_and_value

__all__ = ["Condition", "Order", "Sql", "Steps", "condition", "sort_key", "spelled"]

Steps: TypeAlias = tuple[str | int, ...]
"""A field: ``("params", "n")``, ``("dependencies", "data", "key")``."""

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
_LONGEST: Final = 10_000  # elements of a list of choices, and
_LARGEST: Final = 100  # of a list that is a value
_BOUND: Final = 20_000  # values in all; SQLite takes 32,766
_UPSTREAMS: Final = 8  # dependencies of dependencies
_HIGHEST: Final = 1_000_000  # element of a list
_UNITS: Final = {"size": "bytes: 1e6 is 1 MB", "seconds": "seconds"}


class Sql(NamedTuple):
    """A part of a statement, and the values that are bound to its question marks."""

    text: str
    values: tuple[Any, ...] = ()


class Condition(NamedTuple):
    """A condition on the rows of ``artifact a``: SQL, the values bound to it, and the fields that it asks for."""

    text: str
    values: tuple[Any, ...]
    fields: tuple[Steps, ...]


class Order(NamedTuple):
    """By what the rows of ``artifact a`` are sorted: SQL, the joins that it needs, and the fields that it asks for."""

    text: str
    joins: str
    fields: tuple[Steps, ...]


class _Field(NamedTuple):
    steps: Steps
    node: ast.expr

    @property
    def column(self) -> str | int | None:
        """The name of what is not taken from the params or metrics, of an artifact or of an upstream."""
        inner = self.steps
        while inner[0] == "dependencies":
            inner = inner[2:]
        return inner[0] if len(inner) == 1 else None


class _Constant(NamedTuple):
    value: Any
    node: ast.expr


def condition(index: Index, expression: str) -> Condition:
    """Return `expression` as a condition on the rows of ``artifact a``.

    Raises
    ------
    QueryError
        If it is none, or asks for something that no artifact has.
    """
    compiler = _Compiler(index, expression)
    text, values = compiler.compiled()
    return Condition(text, values, tuple(dict.fromkeys(compiler.fields)))


def sort_key(index: Index, names: Sequence[str]) -> Order:
    """Return by what to sort, for ``at``, ``params.n``, ``-metrics.rmse``: by the first of them, then by the next.

    What has no such value comes last, in both directions. What is equal in all comes newest first.
    """
    orders, joins, fields = [], [], []
    for number, name in enumerate(names):
        compiler = _Compiler(index, name.removeprefix("-"))
        field = compiler.field(compiler.parsed())
        if isinstance(field, _Constant) or field.steps[0] == "dependencies":
            compiler.fail("Sort by a column, a param or a metric", field.node)
        fields.append(field.steps)
        down = " DESC" if name.startswith("-") else ""
        if field.steps[0] in _COLUMNS:
            column = f"a.{field.steps[0]}"
            # NULL is the smallest. Without the first part, fifty are found at once, by an index read backwards.
            orders.append(f"{column} DESC" if down else f"{column} IS NULL, {column}")
            if column == "a.at" and not down:
                orders.append("a.modified")
        else:
            one = f"s{number}"
            orders.append(f"{one}.kind IS NULL, {one}.kind = {NONE}, {one}.kind, {one}.value{down}")
            joins.append(f"LEFT JOIN {compiler.table_of(field)} {one} ON {one}.id = a.id")
    newest_first = [] if fields[:1] == [("at",)] else ["a.at DESC"]
    text = ", ".join([*orders, *newest_first, "a.modified DESC", "a.key DESC", "a.path"])
    return Order(text, " ".join(joins), tuple(fields))


class _Compiler:
    def __init__(self, index: Index, expression: str) -> None:
        self.index = index
        self.expression = expression
        self.comparisons = 0
        self.fields: list[Steps] = []

    def parsed(self) -> ast.expr:
        try:
            tree = ast.parse(self.expression.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            place = error.offset if isinstance(error, SyntaxError) else None
            self._raise(f"It is no expression: {getattr(error, 'msg', error)}.", place)
        return tree.body

    def compiled(self) -> Sql:
        node = self.parsed()
        found = self._truth(node, _DEEPEST)
        if len(found.values) > _BOUND:
            self.fail(f"There are more than {_BOUND:,} values in it", node)
        return found

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
            field, test = self._membership(left, right)
            if isinstance(operator, ast.NotIn):
                test = Sql(f"NOT ({test.text})", test.values)
            return self._found(field, test)
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
            if sign not in ("=", "!="):
                self.fail("Nothing is more or less than None: write 'is None' or 'is not None'", other.node)
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
        value = self._of_column(field, constant)
        if isinstance(value, list | tuple):
            if sign not in ("=", "!="):
                self.fail("Lists are compared by == and != only; an element is params.x[0]", constant.node)
            same = self._same(value, constant.node)
            return same if sign == "=" else Sql(f"NOT ({same.text})", same.values)
        if isinstance(value, set):
            self.fail("A set is for 'in'", constant.node)
        kind, bound = kind_and_value(value)
        if sign == "!=":
            return Sql("f.kind != ? OR f.value != ?", (kind, bound))
        return Sql(f"f.kind = ? AND f.value {sign} ?", (kind, bound))

    def _of_column(self, field: _Field, constant: _Constant) -> Any:
        """Return what a field is compared with, as that is kept: a time, if it is one."""
        value = constant.value
        if isinstance(value, bool | None):
            return value
        if field.column in _UNITS and not isinstance(value, int | float):
            self.fail(f"{field.column} is a number of {_UNITS[str(field.column)]}", constant.node)
        if field.column not in ("at", "modified"):
            return value
        if field.column == "at" and not isinstance(value, str):
            self.fail("at is a time: write it as '2026-11-01' or '2026-11-01T12:30'", constant.node)
        if not isinstance(value, str):
            return value
        time = self._time(constant)
        if field.column == "modified":
            return time.timestamp()
        return time.isoformat(timespec="microseconds" if time.microsecond else "seconds")

    def _same(self, value: list[Any] | tuple[Any, ...], node: ast.expr) -> Sql:
        """Return the condition that a field is this list or tuple, element by element: 1 is 1.0, but not True."""
        kind = TUPLE if isinstance(value, tuple) else LIST
        parts = list(_same_elements(value, "$"))
        if len(parts) > _LARGEST:
            self.fail(f"The list has more than {_LARGEST} elements", node)
        text = " AND ".join(part.text for part in parts)
        # Only a CASE promises that what is no list is not read as JSON.
        test = f"f.kind = {kind} AND CASE WHEN f.kind = {kind} THEN {text} ELSE 0 END"
        return Sql(test, tuple(bound for part in parts for bound in part.values))

    def _time(self, constant: _Constant) -> dt.datetime:
        """Return a time, in UTC; a day is its first second."""
        try:
            time = dt.datetime.fromisoformat(constant.value)
            return time.astimezone(dt.UTC) if time.tzinfo else time.replace(tzinfo=dt.UTC)
        except (ValueError, OverflowError):
            self.fail(f"{constant.value!r} is no time: write it as '2026-11-01' or '2026-11-01T12:30'", constant.node)

    def _two_fields(self, one: _Field, sign: str, other: _Field) -> Sql:
        left, right = self._source(one.steps, one.node), self._source(other.steps, other.node)
        unlike = " OR x.kind != y.kind" if sign == "!=" else ""
        kinds = "" if sign == "!=" else "x.kind = y.kind AND "
        return Sql(
            f"a.id IN (SELECT x.id FROM ({left.text}) x JOIN ({right.text}) y ON x.id = y.id "
            f"WHERE {kinds}(x.value {sign} y.value{unlike}))",
            left.values + right.values,
        )

    def _membership(self, left: ast.expr, right: ast.expr) -> tuple[_Field, Sql]:
        """Return which field is asked for, and the condition on it."""
        one, other = self.field(left), self.field(right)
        if isinstance(one, _Field) and isinstance(other, _Constant):
            if not isinstance(other.value, list | tuple | set):
                self.fail("On the right of 'in' stands a list, such as [1, 2], or a field", right)
            if len(other.value) > _LONGEST:
                self.fail(f"The list has more than {_LONGEST:,} elements", right)
            return one, self._one_of(one, other)
        if not (isinstance(one, _Constant) and isinstance(other, _Field)):
            self.fail("'in' stands between a field and a list, or between a constant and a field", left)
        kind, value = kind_and_value(one.value)
        types = {TEXT: "('text')", NUMBER: "('integer', 'real')", NONE: "('null')", BOOL: "('true', 'false')"}
        if kind not in types:
            self.fail("A list cannot be an element", left)
        same = "1" if kind == NONE else "j.value = ?"
        elements = f"SELECT 1 FROM json_each(f.value) j WHERE j.type IN {types[kind]} AND {same}"
        element = f"f.kind IN {LISTS} AND EXISTS ({elements})"
        if kind == NONE:
            return other, Sql(element)
        if kind != TEXT:
            return other, Sql(element, (value,))
        return other, Sql(f"({element}) OR (f.kind = {TEXT} AND instr(f.value, ?) > 0)", (value, value))

    def _one_of(self, field: _Field, constants: _Constant) -> Sql:
        values: dict[int, list[Any]] = {}
        lists: list[Sql] = []
        for item in constants.value:
            item = self._of_column(field, _Constant(item, constants.node))
            if isinstance(item, list | tuple):
                lists.append(self._same(item, constants.node))
            else:
                kind, value = kind_and_value(item)
                values.setdefault(kind, []).append(value)
        if len(lists) > _MOST:
            self.fail(f"There are more than {_MOST} lists in the list", constants.node)
        parts = [
            f"f.kind = {NONE}" if kind == NONE else f"f.kind = {kind} AND f.value IN ({', '.join('?' * len(some))})"
            for kind, some in values.items()
        ]
        parts += [one.text for one in lists]
        bound = [value for kind, some in values.items() if kind != NONE for value in some]
        return Sql(" OR ".join(parts) or "0", (*bound, *(value for one in lists for value in one.values)))

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
                wanted = spelled(field.steps)
                same = {spelled(name) for name in names if name[0] == field.steps[0]}
                self.fail(f"No artifact has {wanted}{_near(wanted, same)}", field.node)
        return table

    def _has_artifacts(self) -> bool:
        return bool(self.index.query("SELECT 1 FROM artifact WHERE state = 'whole' LIMIT 1"))

    def field(self, node: ast.expr) -> _Field | _Constant:
        """Return what stands on one side of a comparison."""
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            steps = self._steps(node)
        else:
            if not _is_comparable(value):
                self.fail("Compare with numbers, text, True, False, None, and lists of these", node)
            return _Constant(value, node)
        first, level = steps[0], 0
        while steps[level] == "dependencies":
            if len(steps) < level + 3:
                self.fail("Ask for dependencies.<role>.params.x, or dependencies.<role>.key", node)
            level += 2
            if level > 2 * _UPSTREAMS:
                self.fail(f"There are more than {_UPSTREAMS} upstreams behind each other", node)
        name = steps[level]
        if name in ("params", "metrics"):
            if len(steps) == level + 1:
                self.fail(f"Ask for one of the {name}: {name}.x", node)
        elif name in _COLUMNS or name in _FACTS:
            if len(steps) > level + 1:
                self.fail(f"{name} has no parts", node)
        else:
            known = {*_COLUMNS, *_FACTS, *_TREES}
            paths = sorted(spelled(path) for path in self.index.names_of_fields() if path[-1] == name)
            hint = f": did you mean {' or '.join(paths[:3])}?" if paths else _near(str(name), known)
            self.fail(f"There is no field {str(first if level == 0 else name)!r}{hint}", node)
        self.fields.append(steps)
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
                if not (isinstance(step, _Constant) and isinstance(step.value, str | int)) or (
                    isinstance(step.value, int) and abs(step.value) > _HIGHEST
                ):
                    self.fail('In brackets stands a name in quotes, params["odd name"], or a number', at)
                steps.append(step.value)
                at = at.value
            else:
                self.fail("This is not understood", at)
        return (at.id, *reversed(steps))


def _is_comparable(value: Any) -> bool:
    if isinstance(value, list | tuple | set):
        return all(map(_is_comparable, value))
    return value is None or isinstance(value, bool | int | float | str)


def _same_elements(value: Any, path: str) -> Iterator[Sql]:
    """Yield what must hold for the JSON ``f.value`` to be `value` at a path of SQLite's."""
    place = f"f.value, '{path}'"
    if isinstance(value, tuple) and path != "$":  # the mark of the outermost one is in its kind
        path = f'{path}."$tuple"'
        place = f"f.value, '{path}'"
    if isinstance(value, list | tuple):
        yield Sql(f"json_type({place}) = 'array' AND json_array_length({place}) = {len(value)}")
        for number, item in enumerate(value):
            yield from _same_elements(item, f"{path}[{number}]")
        return
    kind, bound = kind_and_value(value)
    if kind == NONE:
        yield Sql(f"json_type({place}) = 'null'")
    elif kind == BOOL:
        yield Sql(f"json_type({place}) = '{'true' if value else 'false'}'")
    else:
        types = "('text')" if kind == TEXT else "('integer', 'real')"
        yield Sql(f"json_type({place}) IN {types} AND json_extract({place}) = ?", (bound,))


def spelled(steps: Sequence[str | int]) -> str:
    """Return a field as a condition spells it: ``params.n``, ``params["odd name"]``."""
    return str(steps[0]) + "".join(
        f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{json.dumps(step)}]" for step in steps[1:]
    )


def _near(name: str, known: set[str]) -> str:
    near = [printable(one, 60) for one in difflib.get_close_matches(name, known, 3, 0.6)]
    return f": did you mean {' or '.join(near)}?" if near else ""
