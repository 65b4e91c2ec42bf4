"""One file of HTML that needs nothing else: no network, and no trust in what a table says.

Texts are escaped, data is JSON that cannot end its element, and a content security policy allows
the page's own style and script by their hashes and nothing besides; recordings may come from
beside the page or from within it.
"""

import base64
import hashlib
import math
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template

import numpy as np

from emocli import posteriors
from emocli.metrics.evaluation import Evaluation
from emocli.metrics.intervals import NO_INTERVAL
from emocli.metrics.registry import LEADING, METRICS, falls
from emocli.report.content import Card, Report, System
from emocli.report.gallery import N_TIMELINES, Picture, n_courses, pictures
from emocli.report.rows import as_script, page_data
from emocli.report.svg import clean, counted, inline


def build_page(report: Report) -> bytes:
    """The page, UTF-8."""
    style = _own("figure.css") + _own("page.css")
    script = _own("page.js")
    page = Template(_own("page.html")).substitute(
        policy=_policy(style, script),
        heading=text(report.heading),
        lead=text(_lead(report)),
        style=style,
        script=script,
        warnings=_warnings(report.warnings),
        ranking=_ranking(report.systems),
        tabs=_tabs(report.systems),
        systems="".join(_section(report, turn) for turn in range(len(report.systems))),
        cards=_cards(report.cards),
        made=_made(report),
        data=as_script(page_data(report)),
    )
    # A name that is no valid Unicode reaches this point in the data only, as lone surrogates;
    # JSON knows them by the same escapes.
    return page.encode("utf-8", "backslashreplace")


def text(content: str) -> str:
    """Text for a page: markup and control characters in it do nothing.

    Example:
        >>> text("<script>.wav")
        '&lt;script&gt;.wav'
    """
    return escape(clean(content), quote=True)


def _own(name: str) -> str:
    """A file of this package."""
    return files("emocli.report").joinpath(name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """The content security policy: this style, this script, sound, and nothing else."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            "media-src 'self' file: data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _lead(report: Report) -> str:
    rows = sum(len(system.rows) for system in report.systems)
    recordings = {file for system in report.systems for file in system.rows["file"].tolist()}
    parts = [counted(rows, "prediction"), f"of {counted(len(recordings), 'recording')}"]
    if len(report.systems) > 1:
        parts.append(f"by {len(report.systems)} models")
    return " ".join(parts) + "."


def _warnings(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences)
    return f'<section class="warnings"><h2>Before you rely on it</h2><ul>{items}</ul></section>'


def _ranking(systems: Sequence[System]) -> str:
    """Several models beside one another, where the truth is known."""
    found = [
        (system, system.verdict.evaluation) for system in systems if system.verdict is not None
    ]
    if len(found) < 2:
        return ""
    names = [name for name in LEADING if any(name in one.figures for _, one in found)]
    best = {name: _best(name, [one for _, one in found]) for name in names}
    head = "".join(f'<th scope="col" class="number">{heading_of(name)}</th>' for name in names)
    lines = "".join(
        f"<tr><td>{text(system.name)}</td>"
        + "".join(_ranked(one.figures.get(name, math.nan), best[name]) for name in names)
        + "</tr>"
        for system, one in found
    )
    return (
        '<section class="ranking"><h2>Models compared</h2><div class="scroll"><table><thead><tr>'
        f'<th scope="col">Model</th>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
        "</section>"
    )


def _best(name: str, found: Iterable[Evaluation]) -> float:
    values = [one.figures[name] for one in found if not math.isnan(one.figures.get(name, math.nan))]
    if not values:
        return math.nan
    return min(values) if falls(name) else max(values)


def _ranked(value: float, best: float) -> str:
    kind = "number best" if value == best else "number"
    return f'<td class="{kind}">{figure(value)}</td>'


def heading_of(name: str) -> str:
    """The title of a figure at the beginning of a cell.

    Example:
        >>> heading_of("accuracy"), heading_of("uar")
        ('Accuracy', 'UAR')
    """
    title = METRICS[name].title.split(",")[0]
    return title[0].upper() + title[1:]


def figure(value: float) -> str:
    """A figure with three decimals; a dash for an undefined one."""
    return "–" if math.isnan(value) else f"{value:.3f}"


def _tabs(systems: Sequence[System]) -> str:
    """Buttons that choose a model; without JavaScript all are shown one below another."""
    if len(systems) < 2:
        return ""
    buttons = "".join(
        f'<button type="button" aria-pressed="false" data-system="{turn}">'
        f"{text(system.name)}</button>"
        for turn, system in enumerate(systems)
    )
    return f'<nav class="tabs" aria-label="Models" hidden>{buttons}</nav>'


def _section(report: Report, turn: int) -> str:
    """The figures and pictures of one model."""
    system = report.systems[turn]
    found = pictures(system)
    files_in_order = {
        file: place
        for place, file in enumerate(
            dict.fromkeys(file for one in report.systems for file in one.rows["file"].tolist())
        )
    }
    plain = "".join(_picture(one, None) for one in found if not one.file)
    courses = "".join(_picture(one, files_in_order[one.file]) for one in found if one.file)
    if courses:
        n_more = n_courses(system) - N_TIMELINES
        rest = f"The {N_TIMELINES} longest; {n_more:,} more are in the list." if n_more > 0 else ""
        courses = (
            f'<h2 class="sub">Over time</h2><div class="grid broad">{courses}</div>'
            f'<p class="more">{rest}</p>'
        )
    return (
        f'<section class="system" data-system="{turn}"><h2>{text(system.name)}</h2>'
        f'<p class="from">{text(_origin(system))}</p>{_tiles(system)}'
        f'<div class="grid">{plain}</div>{courses}</section>'
    )


def _origin(system: System) -> str:
    parts = [system.table] if system.model else []
    if system.labels:
        parts.append(", ".join(system.labels))
    return " · ".join(parts)


def _tiles(system: System) -> str:
    tiles = [*_run_tiles(system), *_verdict_tiles(system)]
    cells = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}<small>{text(remark)}</small></dd></div>"
        for name, value, remark in tiles
    )
    method = system.verdict.evaluation.method if system.verdict is not None else ""
    told = f'<p class="more">{text(method)}</p>' if method else ""
    return f'<dl class="tiles">{cells}</dl>{told}'


def _run_tiles(system: System) -> Iterable[tuple[str, str, str]]:
    """Title, value and remark of what can be said without the truth."""
    rows = system.rows
    n_failed = int(rows.failed.sum())
    files_told = counted(len(set(rows["file"].tolist())), "recording")
    failed = f", {n_failed:,} failed" if n_failed else ""
    yield "Predictions", f"{len(rows) - n_failed:,}", files_told + failed
    entropy = rows.column("entropy")
    if np.isnan(entropy).all():
        return
    share = float(np.nanmean(posteriors.normalized_entropy(rows.probs)))
    told = f"nats, {share:.0%} of the largest"
    yield "Mean entropy", f"{float(np.nanmean(entropy)):.2f}", told
    n_unsure = int(system.unsure.sum())
    told = "high entropy or a narrow lead"
    yield "Unsure", f"{n_unsure / max(len(rows) - n_failed, 1):.0%}", told


def _verdict_tiles(system: System) -> Iterable[tuple[str, str, str]]:
    if system.verdict is None:
        return
    found = system.verdict.evaluation
    for name in LEADING:
        if name not in found.figures:
            continue
        low, high = found.intervals.get(name, NO_INTERVAL)
        interval = "" if math.isnan(low) else f"95%: {low:.3f} to {high:.3f}"
        yield heading_of(name), figure(found.figures[name]), interval or METRICS[name].explanation


def _picture(one: Picture, file: int | None) -> str:
    caption = f"<p>{text(one.caption)}</p>" if one.caption else ""
    place = "" if file is None else f' data-file="{file}"'
    return (
        f'<figure data-figure="{one.kind}"{place}><figcaption><h3>{text(one.heading)}</h3>'
        f"{caption}</figcaption>{inline(one.drawing)}</figure>"
    )


def _cards(cards: Sequence[Card]) -> str:
    if not cards:
        return ""
    shown = "".join(_card(card) for card in cards)
    return f'<section class="models"><h2>Models</h2><div class="cards">{shown}</div></section>'


def _card(card: Card) -> str:
    facts = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in card.facts)
    whole = (
        f"<details><summary>Model card</summary><pre>{_lines(card.text)}</pre></details>"
        if card.text
        else ""
    )
    return f'<article class="card"><h3>{text(card.name)}</h3><dl>{facts}</dl>{whole}</article>'


def _lines(content: str) -> str:
    return "\n".join(text(one) for one in content.expandtabs().splitlines())


def _made(report: Report) -> str:
    commands = "".join(f"<pre>{text(command)}</pre>" for command in report.commands)
    return (
        f'<section class="made"><h2>How this was made</h2>{commands}<p>{text(report.made)}</p>'
        "</section>"
    )
