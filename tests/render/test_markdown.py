import html
import re

import pytest
from cards import CARDS, graceful, immediate_exit, many
from harmful import TEXTS, load_of, run_of
from hypothesis import given, settings
from loads import LOADS, failing, healthy
from markdown_it import MarkdownIt

from rollcheck.analyze.thresholds import judge, parse_threshold
from rollcheck.render.markdown import render_load_markdown, render_markdown
from rollcheck.render.text import clean

OURS = {"<code>", "</code>", "<details><summary>What this run could not see</summary>", "</details>"}
OURS |= {"<details><summary>Worth knowing</summary>"}


def rendered(markdown):
    """What a reader sees, without tags; and the HTML that came through from the source."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    raw = []
    for token in parser.parse(markdown):
        inner = token.children or []
        raw += [each.content.strip() for each in (token, *inner) if each.type in ("html_block", "html_inline")]
    page = parser.render(markdown)
    return html.unescape(re.sub(r"<[^>]*>", "", page)), raw


@pytest.mark.parametrize("name", ["graceful", "immediate-exit", "in-flight-and-broken"])
def test_the_markdown_is_golden(name, golden):
    golden(f"{name}.md", render_markdown(CARDS[name]()).encode())


def test_the_markdown_of_a_load_is_golden(golden):
    judgements = judge([parse_threshold("errors<1%"), parse_threshold("p99<1ms")], failing())

    golden("load-failing.md", render_load_markdown(failing(), judgements).encode())


@pytest.mark.parametrize("name", CARDS)
def test_every_run_reads_its_verdict_first(name):
    text, raw = rendered(render_markdown(CARDS[name]()))

    assert CARDS[name]().verdict.value in text.strip().splitlines()[0]
    assert set(raw) <= OURS


@pytest.mark.parametrize("name", LOADS)
def test_every_load_can_be_rendered(name):
    assert set(rendered(render_load_markdown(LOADS[name](), ()))[1]) <= OURS


def test_a_patch_is_a_block_that_can_be_copied():
    assert f"```yaml\n{immediate_exit().causes[0].fix}```" in render_markdown(immediate_exit())


def test_tables_have_a_cell_for_each_column():
    for markdown in (render_markdown(many()), render_load_markdown(healthy(), ())):
        tables = re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE)
        assert tables
        assert all(len({row.count("|") for row in table.splitlines()}) == 1 for table in tables)


def test_more_pods_than_fit_are_counted():
    assert "And 4 more in `result.json`." in render_markdown(many())


def test_a_graceful_run_has_no_cause_and_no_loss():
    assert "###" not in render_markdown(graceful())
    assert "Lost:" not in render_markdown(graceful())


@given(TEXTS)
@settings(max_examples=80, deadline=None)
def test_names_of_any_kind_come_out_as_they_read(text):
    seen, raw = rendered(render_markdown(run_of(text)))

    assert set(raw) <= OURS
    assert seen.count(clean(text)) >= 5


@given(TEXTS)
@settings(max_examples=40, deadline=None)
def test_names_of_any_kind_come_out_of_a_load_as_they_read(text):
    seen, raw = rendered(render_load_markdown(load_of(text), ()))

    assert set(raw) <= OURS
    assert clean(text) in seen
