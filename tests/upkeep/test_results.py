"""What upkeep is told, and what it returns: any way to name a place and artifacts; texts, cards and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mixed_store import make_mixed_store
from upkeep_world import age, made

from persistable import ArtifactNotFoundError, LocalStore
from persistable.catalog import Catalog
from persistable.upkeep import copy, diagnose, plan, remove, usage, verify


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for n in range(3):
        made("bytes", tmp_path / "store", n).load_generate()
    return tmp_path / "store"


@pytest.mark.parametrize("place", [str, Path, LocalStore, Catalog])
def test_a_place_may_be_a_folder_a_store_or_a_catalogue(folder: Path, tmp_path: Path, place: Any) -> None:
    where, key = place(folder), made("bytes", folder, 1).key
    assert len(verify(where)) == 3
    assert usage(where).names[0].artifacts == 3
    assert len(plan(where)) == 0
    assert not diagnose(where).faults
    assert len(copy(where, key, place(tmp_path / "other"))) == 1
    assert remove(where, key).files == 4


def test_artifacts_may_be_named_by_keys_their_beginnings_or_records(folder: Path) -> None:
    catalog, key = Catalog(folder), made("bytes", folder, 1).key
    for keys in (key, key[:8], f"bytes/{key[:8]}", [key[:8]], catalog.get(key), catalog.find(where="params.n == 1")):
        assert [finding.key for finding in verify(folder, keys)] == [key]
    assert remove(folder, key[:8]).key == key
    with pytest.raises(ArtifactNotFoundError):
        verify(folder, key[:8])
    with pytest.raises(ArtifactNotFoundError):
        copy(folder, key[:8], folder)


def test_what_is_neither_is_told_what_to_pass(folder: Path) -> None:
    asked = made("bytes", folder, 1)
    for call in (verify, usage, plan, diagnose):
        with pytest.raises(TypeError, match=r"Expected a folder, a URL, a Store or a Catalog; got a int"):
            call(3)
    with pytest.raises(TypeError, match=r"got a BytesP\. Pass its data_dir"):
        verify(asked)  # type: ignore[arg-type]
    for keys in (asked, [asked]):
        with pytest.raises(TypeError, match=r"Expected a key, .* got a BytesP\. Pass its key"):
            verify(folder, keys)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Expected a key, .* got a int"):
        copy(folder, [3], folder)  # type: ignore[list-item]
    with pytest.raises(TypeError, match="Expected a key"):
        remove(folder, asked)  # type: ignore[arg-type]


def test_a_call_does_its_work_without_being_iterated_over(folder: Path, tmp_path: Path) -> None:
    copy(folder, made("bytes", folder, 1).key, tmp_path / "other")
    assert made("bytes", tmp_path / "other", 1).exists()
    age(folder)
    plan(folder, larger_than="1B").carry_out()
    assert not made("bytes", folder, 1).exists()


def results(folder: Path, tmp_path: Path) -> list[Any]:
    """One of each, the last one of them after a removal."""
    age(folder)
    planned = plan(folder, larger_than="1B")
    found = [verify(folder), diagnose(folder), usage(folder), copy(folder, Catalog(folder).find(), tmp_path / "other")]
    return [*found, planned, planned.carry_out()]


def test_each_result_is_a_text_a_card_and_json(folder: Path, tmp_path: Path) -> None:
    words = ["3 fine", "0 faults", "24.0 kB", "3 artifacts copied, 24.0 kB", "3 artifacts and 0", "Removed: 3 entries"]
    for result, said in zip(results(folder, tmp_path), words, strict=True):
        assert said in str(result)
        assert said in result._repr_html_() or "24.0 kB" in result._repr_html_()
        json.dumps(result.to_dict(), allow_nan=False)


def test_results_are_sequences_of_what_became_of_each(folder: Path, tmp_path: Path) -> None:
    findings, _, _, copies, _, outcomes = results(folder, tmp_path)
    for result in (findings, copies, outcomes):
        assert isinstance(result, Sequence)
        assert len(result) == 3
        assert type(result[:2]) is type(result)
        assert list(result[:2]) == [result[0], result[1]]
    assert not copies.failed
    assert not outcomes.stayed
    assert len(outcomes.removed) == 3
    assert len(findings.fine) == 3


def test_faults_and_warnings_can_be_asked_for(tmp_path: Path) -> None:
    with make_mixed_store(tmp_path) as mixed:
        findings = verify(mixed.folder)
        assert {finding.key for finding in findings.faults} == {mixed.damaged, mixed.gone}
        assert mixed.newer in {finding.key for finding in findings.warnings}
        assert str(findings).splitlines()[-1] == findings.summary
        text = f"{findings} {findings._repr_html_()} {usage(mixed.folder)._repr_html_()}"
        assert all(line.isprintable() for line in text.split("\n"))
        assert "<script" not in text
