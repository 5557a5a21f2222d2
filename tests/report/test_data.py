"""What a report says of a store: all of it, once, without a payload, and in a page that nothing can break out of."""

from __future__ import annotations

import json
import os
import re
import stat

import pytest
from report_stores import make_many

from persistable import StoreError
from persistable.catalog import Catalog
from persistable.report import write_report
from persistable.report.data import report_data, shortened


def cells(column):
    """Return row -> value of a column, as the page reads it."""
    at = column.get("at", range(len(column["values"])))
    rows = column.get("rows", range(len(at)))
    return {row: column["values"][place] for row, place in zip(rows, at, strict=True) if place >= 0}


def columns(data, section):
    return {column["name"]: cells(column) for column in data[section]}


def embedded(page):
    """Return the data of a page, taken out of it as a browser does."""
    text = page.read_text("utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_every_entry_of_a_store_is_in_the_report(mixed):
    data = report_data(Catalog(mixed.store.folder))
    fields = columns(data, "fields")
    states = list(fields["state"].values())
    assert data["about"]["count"] == len(states) == len(Catalog(mixed.store.folder).find(state="any"))
    assert {"whole", "corrupt", "newer", "generating", "failed", "unfinished", "1.x", "foreign"} == set(states)
    assert len(set(fields["path"].values())) == len(states)


def test_an_upstream_that_was_made_again_is_found(models_page):
    data = embedded(models_page)
    fields = columns(data, "fields")
    remade, through = columns(data, "remade"), columns(data, "through")
    names = {name: {fields["payload_name"][row] for row in rows} for name, rows in remade.items()}
    assert names == {"prices": {"features", "model"}}
    assert len(remade["prices"]) == 31
    assert {fields["payload_name"][row] for row in through["model"]} == {"evaluation"}


def test_a_report_of_some_artifacts_has_their_upstreams_too(models_page):
    data = report_data(Catalog(models_page.parent / "store"), payload_name="model", where="params.alpha > 1")
    names = list(columns(data, "fields")["payload_name"].values())
    assert data["about"]["listed"] == 12
    assert names[:12] == ["model"] * 12
    assert sorted(names[12:]) == ["features", "features", "prices", "prices"]
    assert data["about"]["where"] == 'payload_name == "model" and params.alpha > 1'


def test_an_upstream_that_is_not_there_is_named(tmp_path):
    make_many(tmp_path, 3)
    for manifest in (tmp_path / "data").glob("*/manifest.json"):
        manifest.unlink()
        manifest.parent.rmdir()
    (missing,) = {tuple(upstream) for upstream in columns(report_data(Catalog(tmp_path)), "upstreams")["data"].values()}
    assert missing[0] == "data"


def test_no_payload_is_read(mixed, monkeypatch):
    opened = []
    monkeypatch.setattr("pickle.load", lambda *_: pytest.fail("a payload was loaded"))
    monkeypatch.setattr("persistable.LocalStore.fetch", lambda self, path, size=None: opened.append(path))
    report_data(Catalog(mixed.store.folder))
    assert opened == []


def test_values_stay_what_they_are_in_javascript():
    assert shortened({"n": 2**53, "x": 1.0, "y": 0.1, "z": -0.0, "flag": True}) == {
        "n": {"$int": "9007199254740992"},
        "x": {"$float": "1.0"},
        "y": 0.1,
        "z": {"$float": "-0.0"},
        "flag": True,
    }


def test_long_values_are_cut_and_still_differ():
    one, other = shortened("x" * 5000 + "a"), shortened("x" * 5000 + "b")
    assert one != other
    assert len(json.dumps(one)) < 400
    assert shortened(list(range(1000))) != shortened(list(range(999, -1, -1)))


def test_what_is_nested_without_end_is_cut():
    value: list = []
    for _ in range(500):
        value = [value]
    assert len(json.dumps(shortened(value))) < 100


def test_many_different_params_make_no_page_that_grows_with_their_square(tmp_path):
    from persistable.report.data import column

    sparse = [column(f"p{number}", {number: 1}, 10_000) for number in range(1000)]
    assert len(json.dumps(sparse)) < 100_000


def test_data_cannot_end_its_element_and_the_policy_allows_nothing_else(mixed):
    text = mixed.page.read_text("utf-8")
    assert text.count("<script") == text.count("</script>") == 2
    data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]
    assert data.isascii()
    assert not set("<>&") & set(data)
    assert "default-src 'none'" in text
    assert "unsafe-inline" not in text
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", text)
    assert "</title><script>" not in text


def test_a_page_is_written_whole_or_not_at_all(tmp_path, mixed, monkeypatch):
    path = write_report(mixed.store.folder, str(tmp_path / "report.html"))
    assert path == tmp_path / "report.html"
    before = path.read_bytes()

    def fail(self, target):
        raise OSError("the drive is gone")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", fail)
        with pytest.raises(StoreError, match="the drive is gone"):
            write_report(mixed.store.folder, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["report.html"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_page_is_for_all_whom_the_umask_lets_read_it(tmp_path, mixed):
    old = os.umask(0o022)
    try:
        path = write_report(mixed.store.folder, tmp_path / "report.html")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_where_it_cannot_be_written_the_error_says_what_to_do(tmp_path, mixed):
    with pytest.raises(StoreError, match=r"there is no folder .*nowhere\. Make it first"):
        write_report(mixed.store.folder, tmp_path / "nowhere" / "report.html")
    with pytest.raises(StoreError, match=r"it is a folder\. Name a file in it"):
        write_report(mixed.store.folder, tmp_path)


def test_a_store_that_does_not_exist_has_no_page(tmp_path):
    (tmp_path / "file").write_text("")
    for name, found in (("modles", "does not exist"), ("file", "is no folder")):
        with pytest.raises(StoreError, match=rf"nothing to report on: the store .*{name} {found}\. Check the name"):
            write_report(tmp_path / name, tmp_path / "report.html")
    assert os.listdir(tmp_path) == ["file"]


def test_a_bucket_without_artifacts_has_a_page(tmp_path):
    assert write_report("memory://nothing-here", tmp_path / "report.html").exists()
