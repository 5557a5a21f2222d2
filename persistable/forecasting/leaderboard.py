"""How a ranking is shown: as a text of 80 columns, and as a card in a notebook. Both are made of its payload alone."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .._html import card, escape, row, table, title

__all__ = ["TITLES", "html_of", "text_of", "verdict"]

TITLES: Final = {"rmse": "RMSE", "mae": "MAE", "mase": "MASE", "directional_accuracy": "direction"}
_HOW: Final = {"one_step": "one step ahead", "forecast": "from the end of the training rows"}
_SHORT: Final = {"direction": "dir.", "coverage": "cov."}  # where a line is 80 columns
_TEXTS: Final = (1, 2)  # the columns that are aligned to the left


def text_of(ranking: Mapping[str, Any]) -> str:
    """Return a ranking as a text for a terminal, with the verdict at the end."""
    header, models, baselines = _table(ranking)
    header = [_SHORT.get(title, title) for title in header]
    widths = [max(len(line[column]) for line in (header, *models, *baselines)) for column in range(len(header))]

    def aligned(line: Sequence[str]) -> str:
        cells = (cell.ljust(width) if column in _TEXTS else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(line, widths, strict=True)))  # fmt: skip
        return "  ".join(cells).rstrip()

    def wrapped(text: str) -> str:
        for sign in "<=":
            text = text.replace(f"p {sign} ", f"p\xa0{sign}\xa0")  # stays in one line
        lines = textwrap.wrap(
            text, max(79, len(rule)), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
        return "\n".join(lines).replace("\xa0", " ")

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join(
        [
            _about(ranking),
            aligned(header),
            rule,
            *map(aligned, models),
            rule,
            *map(aligned, baselines),
            *(wrapped(f"! {line}") for line in _warnings(ranking)),
            wrapped(verdict(ranking)),
        ]
    )


def html_of(ranking: Mapping[str, Any] | None, name: str, key: str) -> str:
    """Return a ranking as a card for a notebook; None for one that is not made yet."""
    if ranking is None:
        return card(title(name, key), pale="not ranked yet")
    header, models, baselines = _table(ranking)
    right = set(range(len(header))) - set(_TEXTS)
    lines = [row(header, tag="th", right=right, style="opacity:.75")]
    lines += [row(line, right=right, style="" if number else "font-weight:bold") for number, line in enumerate(models)]
    lines += [row(line, right=right, style="opacity:.75") for line in baselines]
    return card(
        title(name, key),
        table(lines),
        *(f"! {escape(line)}" for line in _warnings(ranking)),
        escape(verdict(ranking)),
        pale=_about(ranking),
    )


def _about(ranking: Mapping[str, Any]) -> str:
    return f"{ranking['rows']} test rows, {_HOW[ranking['how']]}, by {TITLES[ranking['metric']]}"


def verdict(ranking: Mapping[str, Any]) -> str:
    """Return in a sentence or two who is champion, why, and whether it beats the baseline."""
    entries = {entry["name"]: entry for entry in [*ranking["models"], *ranking["baselines"]]}
    metric, name, reference = ranking["metric"], ranking["champion"], ranking["reference"]
    champion, baseline = entries[name], entries[ranking["baseline"]]
    title, alpha = TITLES[metric], f"alpha {ranking['alpha']:g}"
    best = "best direction" if metric == "directional_accuracy" else f"lowest {title}"
    size = f"{champion['n_parameters']} parameter{'s' * (champion['n_parameters'] != 1)}"
    if name != reference:
        why = (
            f"within the noise of {reference}, which has the {best} ({_p_is(champion['p_value'])}, {alpha}), and the "
            f"simplest of those that are ({size}; {reference} has {entries[reference]['n_parameters']})"
        )
    elif champion["tie"]:
        why = f"{best}, and no model within its noise ({alpha}) is simpler ({size})"
    elif len(ranking["models"]) == 1:
        why = "the only model"
    else:
        why = f"{best}, and by more than noise ({alpha})"
    mine, theirs = champion["metrics"][metric], baseline["metrics"][metric]
    p = _p_is(ranking["p_value_baseline"])
    if ranking["beats_baseline"]:
        end = f"It beats the baseline {baseline['name']} ({p})."
    elif mine < theirs if metric == "directional_accuracy" else mine > theirs:
        gap = f"{title} {theirs:.5g} against {mine:.5g}"
        end = f"It does not beat the baseline {baseline['name']}, which is better ({gap})."
    else:
        end = f"It does not beat the baseline {baseline['name']}: the difference may be chance ({p})."
    return f"Champion: {name}: {why}. {end}"


def _table(ranking: Mapping[str, Any]) -> tuple[list[str], list[list[str]], list[list[str]]]:
    """Return header, models and baselines, as texts."""
    header = ["rank", "role", "name", "RMSE", "MAE", "MASE", "direction", "coverage", "p"]
    both = [*ranking["models"], *ranking["baselines"]]
    digits = [_decimals([entry["metrics"][name] for entry in both]) for name in ("rmse", "mae")]

    def line(entry: Mapping[str, Any]) -> list[str]:
        found = entry["metrics"]
        return [
            str(entry["rank"]),
            entry["role"] or ("baseline" if entry["family"] == "baseline" else ""),
            entry["name"] + " !" * bool(entry["warnings"]),
            _number(found["rmse"], digits[0]),
            _number(found["mae"], digits[1]),
            _number(found["mase"], 3),
            _share(found["directional_accuracy"]),
            _share(found["interval_coverage"]),
            "" if entry["name"] == ranking["reference"] else _p(entry["p_value"]),
        ]

    return header, [line(entry) for entry in ranking["models"]], [line(entry) for entry in ranking["baselines"]]


def _warnings(ranking: Mapping[str, Any]) -> list[str]:
    entries = [*ranking["models"], *ranking["baselines"]]
    return [f"{entry['name']}: {message}" for entry in entries for message in entry["warnings"]]


def _decimals(values: Sequence[float | None]) -> int:
    """Return how many decimals show five digits of the smallest value."""
    least = min((value for value in values if value), default=1.0)
    return max(0, 4 - math.floor(math.log10(least)))


def _number(value: float | None, decimals: int) -> str:
    if value is None:
        return "n/a"
    return f"{value:.{decimals}f}" if decimals <= 10 else f"{value:.4e}"


def _share(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.1%}"


def _p(value: float | None) -> str:
    return "n/a" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _p_is(value: float) -> str:
    return f"p {'' if value < 0.001 else '= '}{_p(value)}"
