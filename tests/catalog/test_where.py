"""Conditions find what they say, see through what marks types, and never evaluate anything."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from persistable import Persistable, PersistableParams
from persistable.catalog import Catalog
from persistable.catalog.index import Index
from persistable.exceptions import ArtifactNotFoundError, QueryError


class Kind(Enum):
    FAST = 1


@dataclass
class Shape(PersistableParams):
    depth: int
    rate: float = 0.5


@dataclass
class DataParams(PersistableParams):
    n: int


class DataP(Persistable[int, DataParams]):
    def _generate_payload(self) -> int:
        return self.params.n


@dataclass
class ModelParams(PersistableParams):
    number: int
    alpha: Any = 1.0
    shape: Shape = field(default_factory=lambda: Shape(3))
    grid: Any = (0.5, "a", None, True)
    path: Path = Path("some/file.csv")
    kind: Kind = Kind.FAST
    since: dt.date = dt.date(2026, 1, 2)
    price: Decimal = Decimal("1.5")
    options: dict[str, Any] = field(default_factory=dict)
    deep: Any = field(default_factory=list)


class ModelP(Persistable[int, ModelParams]):
    version = "2"

    def _generate_payload(self) -> int:
        self.metrics = {"rmse": self.params.number / 10, "worst": {"mae": float(self.params.number)}}
        if self.params.number == 3:
            self.metrics["extra"] = 1
        self.tags = ["best"] if self.params.number == 1 else []
        return self.params.number


class FinalP(Persistable[int, ModelParams]):
    def _generate_payload(self) -> int:
        return 0


DEEP = (1, (2, [float("inf")]), "x")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """Three models, the last of other data; and one that is made from the last model."""
    folder = tmp_path_factory.mktemp("store")
    small, large = DataP(folder, DataParams(10)), DataP(folder, DataParams(1000))
    models = [
        ModelP(
            folder, ModelParams(1, alpha=1, options={"odd name": 1, 'with "quotes"': 2}, deep=DEEP), {"data": small}
        ),
        ModelP(folder, ModelParams(2, alpha=True, shape=Shape(9), options={"deep": {"er": "x"}}), {"data": small}),
        ModelP(folder, ModelParams(3, alpha=float("inf"), grid=[2**70, -1], options={"a.b": None}), {"data": large}),
    ]
    for upstream_or_model in (small, large, *models):
        upstream_or_model.load_generate()
    FinalP(folder, ModelParams(99, alpha="text"), {"model": models[2]}).load_generate()
    return Catalog(folder)


def found(catalog, where):
    """Return the numbers of the models that a condition finds, and the sizes of the data."""
    return sorted(record.params.get("number") or record.params["n"] for record in catalog.find(where=where))


ALL = [1, 2, 3, 10, 99, 1000]


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("params.number == 2", [2]),
        ("2 == params.number", [2]),
        ("params.number != 2", [1, 3, 99]),
        ("1 < params.number <= 3", [2, 3]),
        ("params.number > 1 and metrics.rmse < 0.25", [2]),
        ("params.number == 1 or params.number == 3", [1, 3]),
        ("params.number in [1, 3, None, 'x']", [1, 3]),
        ("params.number not in (1, 3) and payload_name == 'model_p'", [2]),
        ("params.number > -1 and not params.number > 1", [1]),
        ("metrics.worst.mae >= 2", [2, 3]),
        ("metrics.rmse < params.number", [1, 2, 3]),
        # what has no such value
        ("metrics.extra == 1", [3]),
        ("metrics.extra != 5", [3]),
        ("not metrics.extra == 1 and payload_name == 'model_p'", [1, 2]),
        ("metrics.extra is None and payload_name == 'model_p'", [1, 2]),
        ("metrics.extra is not None", [3]),
        ("params.options['a.b'] is None", ALL),
        # kinds
        ("params.alpha == 1", [1]),
        ("params.alpha == True", [2]),
        ("params.alpha is True", [2]),
        ("params.alpha", [2]),
        ("params.alpha == 1.0", [1]),
        ("params.alpha == 'text'", [99]),
        ("params.alpha > 0", [1, 3]),
        ("params.alpha > 1e300", [3]),
        ("params.alpha < 'u'", [99]),
        # through the marks
        ("params.shape.depth > 3", [2]),
        ("params.shape.rate == 0.5 and params.number < 3", [1, 2]),
        ("params.path == 'some/file.csv' and params.number == 1", [1]),
        ("params.kind == 'FAST' and params.number == 1", [1]),
        ("params.since < '2026-01-03' and params.number == 1", [1]),
        ("params.price == 1.5 and params.number == 1", [1]),
        ("params.grid[0] == 0.5", [1, 2, 99]),
        ("params.grid[-1] == -1", [3]),
        (f"params.grid[0] == {2**70}", [3]),
        ("'a' in params.grid", [1, 2, 99]),
        ("True in params.grid", [1, 2, 99]),
        ("None in params.grid", [1, 2, 99]),
        ("1 in params.grid", []),
        ("-1 in params.grid", [3]),
        # lists and tuples
        ("params.grid == (0.5, 'a', None, True)", [1, 2, 99]),
        ("params.grid == [0.5, 'a', None, True]", []),
        ("params.grid == (0.5, 'a', None, 1)", []),
        ("params.grid == (0.5, 'a', None)", []),
        (f"params.grid == [{2**70}, -1.0]", [3]),
        ("params.grid != [0.5]", [1, 2, 3, 99]),
        (f"params.grid != [{2**70}, -1]", [1, 2, 99]),
        (f"params.grid in ([{2**70}, -1], [])", [3]),
        ("params.deep == (1, (2, [1e999]), 'x')", [1]),
        ("params.deep == (1, [2, [1e999]], 'x')", []),
        ("params.deep == []", [2, 3, 99]),
        ("1 in params.deep and 'x' in params.deep and 2 not in params.deep", [1]),
        ("params.deep is not None and None not in params.deep", [1, 2, 3, 99]),
        ("params.options['odd name'] == 1", [1]),
        ("""params.options['with "quotes"'] == 2""", [1]),
        ("params.options.deep.er == 'x'", [2]),
        # columns
        ("'best' in tags", [1]),
        ("'final' in payload_name", [99]),
        ("version == '2' and 'best' not in tags", [2, 3]),
        ("state == 'whole' and size > 0 and seconds >= 0 and user is not None and host != ''", ALL),
        ("at > '2026-01-01' and params.number == 1", [1]),
        ("at > '2026-01-01T12:00:00+05:00' and params.number == 1", [1]),
        ("at < '2026-01-01'", []),
        ("modified > '2026-01-01' and params.number == 1", [1]),
        ("modified < '2026-01-01' or modified < 1e9", []),
        ("class_name == 'no.Class'", []),
        ("format == 'pickle' and type == 'builtins.int' and params.number == 1", [1]),
        # upstreams
        ("dependencies.data.params.n == 1000", [3]),
        ("dependencies.data.params.n < metrics.rmse", []),
        ("dependencies.model.dependencies.data.params.n > 500", [99]),
        ("dependencies.model.metrics.rmse > 0.2", [99]),
        ("dependencies.data.payload_name == 'data_p' and dependencies.data.at > '2026-01-01'", [1, 2, 3]),
    ],
)
def test_a_condition_finds_what_it_says(catalog, where, numbers):
    assert found(catalog, where) == numbers


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ("params.numbr > 1", "No artifact has params.numbr: did you mean params.number"),
        ("metrics.rsme < 1", "did you mean metrics.rmse"),
        ("dependencies.dat.params.n == 1", "No artifact has an upstream of the role 'dat': did you mean data"),
        ("number > 1", "There is no field 'number': did you mean params.number"),
        ("payloadname == 'a'", "did you mean payload_name"),
        ("params.number >", "no expression"),
        ("params.number = 1", "no expression"),
        ("params", "Ask for one of the params"),
        ("dependencies.data == 'x'", "dependencies.<role>.params.x"),
        ("size.x == 1", "size has no parts"),
        ("1 < 2", "Two constants"),
        ("1", "no condition"),
        ("params.number + 1 == 2", "not understood"),
        ("params.number == 2 ** 70", "not understood"),
        ("params.grid[0:1] == 2", "In brackets"),
        ("params.grid[params.number] == 2", "In brackets"),
        ("params.number in 5", "stands a list"),
        ("params.number > [1]", "Lists are compared by == and != only"),
        ("params.number == {1}", "A set is for 'in'"),
        ("params.number == {'a': 1}", "Compare with numbers, text"),
        ("params.number == b'1'", "Compare with numbers, text"),
        ("params.grid == [" + "1," * 101 + "]", "more than 100"),
        (f"params.grid in [{'[1],' * 51}]", "more than 50 lists"),
        ("params.alpha > None", "write 'is None' or 'is not None'"),
        ("size > '1kB'", "size is a number of bytes: 1e6 is 1 MB"),
        ("dependencies.data.size in ['1kB']", "size is a number of bytes"),
        ("seconds < 'a minute'", "seconds is a number of seconds"),
        ("at > 5", "at is a time"),
        ("modified > '30d'", "'30d' is no time"),
        ("params.number is 5", "'is' asks for"),
        ("[1] in params.grid", "A list cannot be"),
        ("at > 'yesterday'", "'yesterday' is no time"),
        ("__import__('os').system('true')", "not understood"),
        ("(lambda: 1)() == 1", "not understood"),
        ("params.number == 1 if True else 2", "not understood"),
        ("[x for x in params]", "not understood"),
        ("params.__class__.__mro__ == 1", "No artifact has"),
        ("not " * 60 + "params.number == 1", "nested too deeply"),
        (" and ".join(["params.number == 1"] * 51), "more than 50 comparisons"),
        ("(" * 5000, "no expression"),
        ("params.number == 1\x00", "no expression"),
        ("params.number in [" + "1," * 10_001 + "]", "more than 10,000"),
    ],
)
def test_what_makes_no_sense_is_an_error_that_points_at_the_place(catalog, where, problem):
    with pytest.raises(QueryError, match=r"What can be asked for: params\.x") as caught:
        catalog.find(where=where)
    assert problem in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 1000
    assert all(line.isprintable() for line in str(caught.value).splitlines())


def test_the_place_is_marked(catalog):
    with pytest.raises(QueryError) as caught:
        catalog.find(where="params.number > 1 and params.numbr < 3")
    _, line, mark, _ = str(caught.value).splitlines()
    assert line[mark.index("^") :].startswith("params.numbr < 3")


def test_in_an_empty_store_nothing_is_misspelt(tmp_path):
    assert len(Catalog(tmp_path).find(where="params.whatever > 1 and dependencies.data.params.n == 1")) == 0


def test_values_are_bound_and_never_become_sql(catalog):
    for hostile in ("'; DROP TABLE artifact; --", '" OR 1=1', "\\", "%", "\x00", "😀", "\ud800"):
        assert len(catalog.find(where=f"payload_name == {hostile!r}")) == 0
        with pytest.raises(QueryError, match="No artifact has"):
            catalog.find(where=f"params[{hostile!r}] == 1")
    assert len(catalog.find(where="params.number == 1")) == 1


def test_what_arrives_after_a_path_was_asked_for_is_found_too(tmp_path):
    catalog = Catalog(tmp_path)
    DataP(tmp_path, DataParams(1)).load_generate()
    assert len(catalog.find(where="params.n >= 1")) == 1
    new = DataP(tmp_path, DataParams(2))
    new.load_generate()
    assert len(catalog.find(where="params.n >= 1")) == 2
    assert len(Catalog(tmp_path).find(where="params.n == 2")) == 1
    shutil.rmtree(new.persist_filepath)
    assert len(catalog.find(where="params.n >= 1")) == 1


def test_very_many_paths_may_be_asked_for(tmp_path):
    @dataclass
    class WideParams(PersistableParams):
        values: dict[str, int]

    class WideP(Persistable[int, WideParams]):
        def _generate_payload(self) -> int:
            return 1

    WideP(tmp_path, WideParams({f"x{number}": number for number in range(150)})).load_generate()
    catalog = Catalog(tmp_path)
    for number in range(150):
        assert len(catalog.find(where=f"params.values.x{number} == {number}")) == 1
    assert len(catalog.find(where="params.values.x0 == 0 and params.values.x149 == 149")) == 1


@pytest.mark.parametrize(
    ("sort", "numbers"),
    [
        ("params.number", [1, 2, 3, 99]),
        ("-params.number", [99, 3, 2, 1]),
        ("metrics.rmse", [1, 2, 3]),
        ("-metrics.rmse", [3, 2, 1]),
        ("-params.alpha", None),
        ("size", None),
        ("-at", None),
        ("user", None),
    ],
)
def test_sorting_puts_what_has_no_such_value_last(catalog, sort, numbers):
    records = catalog.find(sort=sort)
    assert len(records) == 6
    if numbers is not None:
        assert [record.params.get("number") for record in records][: len(numbers)] == numbers


def test_sorting_by_what_nothing_has_is_an_error(catalog):
    with pytest.raises(QueryError, match=r"did you mean metrics\.rmse"):
        catalog.find(sort="-metrics.rsme")
    with pytest.raises(QueryError, match="Sort by"):
        catalog.find(sort="dependencies.data.params.n")


def test_not_in_is_false_for_what_has_no_such_param(tmp_path):
    DataP(tmp_path, DataParams(5)).load_generate()
    DataP(tmp_path, DataParams(6)).load_generate()
    TextP(tmp_path, TextParams("a")).load_generate()
    catalog = Catalog(tmp_path)
    for expression in ("params.n not in [5]", "params.n != 5"):
        assert [record.params for record in catalog.find(where=expression)] == [{"n": 6}], expression
    assert len(catalog.find(where="not params.n in [5]")) == 2


@dataclass
class TextParams(PersistableParams):
    text: str


class TextP(Persistable[str, TextParams]):
    def _generate_payload(self) -> str:
        return self.params.text


@pytest.mark.parametrize(
    "expression",
    [
        "params.n == b'a'",
        "params.n == 1j",
        "params.n == ...",
        "params.n == {1: {2}}",
        f"params.n[0x{'f' * 8000}] == 1",
        "at > '0001-01-01T00:00:00+23:00'",
        "dependencies.data." * 20 + "params.n == 1",
        " or ".join(f"params.n in {list(range(10_000))}" for _ in range(27)),
    ],
    ids=range(8),
)
def test_an_odd_or_enormous_question_is_refused_and_the_index_stays(tmp_path, expression, monkeypatch):
    DataP(tmp_path, DataParams(5)).load_generate()
    catalog = Catalog(tmp_path)
    assert len(catalog.find(where="params.n == 5")) == 1
    monkeypatch.setattr(Index, "remove", lambda self: pytest.fail("the index was thrown away"))
    with pytest.raises(QueryError):
        catalog.find(where=expression)
    assert len(catalog.find(where=f"params.n < 0x{'f' * 8000}")) == 1


def test_text_that_no_database_takes_is_not_found(tmp_path):
    DataP(tmp_path, DataParams(5)).load_generate()
    catalog = Catalog(tmp_path)
    assert len(catalog.find("\ud800")) == 0
    with pytest.raises(QueryError):
        catalog.find(where="user == '\ud800'")
    with pytest.raises(ArtifactNotFoundError):
        catalog.get("\ud800abcd")


@pytest.mark.parametrize("limit", [-1, 1.5, True, "1"])
def test_a_limit_is_a_number_of_artifacts(tmp_path, limit):
    with pytest.raises(ValueError, match="limit must be 0 or more"):
        Catalog(tmp_path).find(limit=limit)
