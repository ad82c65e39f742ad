import base64
import hashlib
import re
from functools import cache

import pytest
from cards import CARDS, graceful, immediate_exit, in_flight_and_broken, many, stuck
from harmful import TEXTS, run_of
from hypothesis import example, given, settings
from reading import cells, data_of, program, read

from rollcheck.render.html.causes import apply_command
from rollcheck.render.html.run import render_run
from rollcheck.render.text import clean

every_card = pytest.mark.parametrize("name", CARDS)


@cache
def page_of(name):
    return render_run(CARDS[name]())


@cache
def tree_of(name):
    return read(page_of(name))


def words(element):
    return " ".join(element.text.split())


@every_card
def test_the_verdict_is_the_first_thing_that_the_page_says(name):
    (main,) = tree_of(name).all("main")
    (badge,) = main.all("p", class_="badge")

    assert words(main).startswith(words(badge))
    assert CARDS[name]().verdict in words(badge)


@every_card
def test_the_headline_is_the_only_h1(name):
    (headline,) = tree_of(name).all("h1")

    assert headline.text.casefold() == clean(CARDS[name]().headline).casefold()


@every_card
def test_the_same_run_gives_the_same_bytes(name):
    assert render_run(CARDS[name]()) == page_of(name)


@every_card
def test_nothing_is_loaded_from_anywhere(name):
    tree = tree_of(name)
    links = [each.attributes[key] for each in tree.all() for key in ("src", "href", "action") if key in each.attributes]

    assert all(link.startswith(("#", "data:")) for link in links)
    assert not tree.all("iframe")
    assert b"@import" not in page_of(name)
    assert b"url(" not in page_of(name)


@every_card
def test_only_our_own_style_and_script_may_run(name):
    tree = tree_of(name)
    (policy,) = tree.all("meta", http_equiv="Content-Security-Policy")
    told = dict(part.strip().split(" ", 1) for part in policy.attributes["content"].split(";"))
    (style,) = tree.all("style")

    def digest(text):
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert told["default-src"] == "'none'"
    assert (told["style-src"], told["script-src"]) == (digest(style.text), digest(program(tree)))


def test_the_cause_stands_before_the_timeline():
    page = page_of("immediate-exit").decode()

    assert page.index("Immediate exit on SIGTERM") < page.index('id="timeline"')


def test_a_cause_has_its_evidence_its_rivals_and_its_advice():
    (cause,) = immediate_exit().causes
    (card,) = tree_of("immediate-exit").all("article", class_="cause")

    for text in (cause.advice, cause.competing[0][1], *cause.evidence[1:]):
        assert text[1:] in words(card)


def test_the_patch_can_be_copied_as_it_is():
    (cause,) = immediate_exit().causes
    patch, command = tree_of("immediate-exit").all("code")

    assert patch.text == cause.fix.rstrip("\n")
    assert command.text == apply_command(immediate_exit(), "fix-1.yaml")


def test_the_command_that_applies_a_patch_names_context_namespace_workload_and_file():
    command = apply_command(immediate_exit(), "fix-1.yaml")

    assert command == "kubectl --context test -n default patch deployment web --patch-file fix-1.yaml"


def test_a_patch_that_two_causes_share_is_shown_once():
    first, second = in_flight_and_broken().causes
    shared = type(first)(**{**{n: getattr(first, n) for n in type(first).__slots__}, "fix": second.fix})
    analysis = in_flight_and_broken()
    twice = type(analysis)(
        **{**{n: getattr(analysis, n) for n in type(analysis).__slots__}, "causes": (shared, second)}
    )
    tree = read(render_run(twice))

    assert len(tree.all("figure")) == 2
    assert "The patch is that of cause 1." in words(tree)


def test_counts_are_exact_and_need_no_script():
    counts = immediate_exit().counts
    (table,) = tree_of("immediate-exit").all("div", aria_label="Requests by lane")
    row = next(each for each in table.all("tr") if words(each).startswith("all"))
    told = [words(cell) for cell in row.all("td")]

    assert told[:4] == [f"{n:,}" for n in (counts.sent, counts.ok, counts.failed, counts.not_sent)]


def test_every_old_pod_has_a_row_that_needs_no_script():
    (table,) = tree_of("many").all("div", aria_label="Old pods")
    old = {pod.name for pod in many().timeline.pods if pod.generation == "old"}

    assert {words(cell) for cell in table.all("th", scope="row")} == old


def test_latency_before_stands_beside_latency_after():
    (table,) = tree_of("graceful").all("div", aria_label="Response times of the reused lane")

    assert [words(head) for head in table.all("thead")[0].all("th")] == [
        "reused lane",
        "before",
        "while replaced",
        "after",
    ]


def test_reasons_and_blind_spots_are_told():
    text = words(tree_of("stuck"))

    for told in (*stuck().reasons, *stuck().blind):
        assert told[1:] in text


def test_a_graceful_run_names_no_cause():
    assert not tree_of("graceful").all("section", id="causes")
    assert "None" not in words(tree_of("graceful").all("main")[0])


def test_tables_can_be_scrolled_by_keyboard_and_have_headings():
    for box in tree_of("immediate-exit").all("div", role="region"):
        assert box.attributes["tabindex"] == "0"
        assert box.attributes["aria-label"]
        assert all(head.attributes["scope"] in ("col", "row") for head in box.all("th"))


def test_every_lost_request_is_in_the_timeline_with_its_cause():
    data = data_of(page_of("immediate-exit"), "moments-a")
    failures = immediate_exit().timeline.failures

    assert sum(kind["count"] for kind in data["kinds"]) == len(failures)
    assert cells(data["errors"]["cause"], len(failures)) == [0] * len(failures)
    assert sorted(cells(data["errors"]["at"], len(failures))) == cells(data["errors"]["at"], len(failures))


def test_an_error_points_to_its_fact():
    page = page_of("in-flight-and-broken")
    data, tables = data_of(page, "moments-a"), {each["kind"]: each for each in data_of(page, "raw-a")}
    attempts = tables["Attempt"]
    total = sum(kind["count"] for kind in data["kinds"])
    lanes = cells(attempts["columns"]["lane"], attempts["rows"])
    pairs = zip(cells(data["errors"]["kind"], total), cells(data["errors"]["row"], total), strict=True)

    assert all(data["kinds"][kind]["lane"] == lanes[row] for kind, row in pairs)


def test_what_nobody_can_explain_has_its_nearest_facts():
    data = data_of(page_of("in-flight-and-broken"), "moments-a")
    lost = in_flight_and_broken().unattributed[0]

    assert data["nearest"][f"{lost.attempt.lane} {lost.attempt.seq}"] == list(lost.nearest)


@cache
def named(text):
    return read(render_run(run_of(text)))


@settings(max_examples=20, deadline=None)
@given(TEXTS)
def test_no_name_becomes_markup(text):
    """Whatever a run's names are, the page has the elements and attributes of the same run with harmless names."""
    tree, harmless = read(render_run(run_of(text))), named("harmless")

    def shape(root):
        return {each.tag for each in root.all()}, {name for each in root.all() for name in each.attributes}

    assert all(ours <= theirs for ours, theirs in zip(shape(tree), shape(harmless), strict=True))
    # A name of which nothing is to be seen may leave a patch or a reason out, but adds nothing.
    assert len(tree.all("script")) == len(harmless.all("script"))
    assert program(tree) == program(harmless)


@settings(max_examples=20, deadline=None)
@given(TEXTS)
@example(" ")
@example(" web ")
def test_names_are_told_in_full_on_one_line(text):
    page = render_run(run_of(text))
    (headline,) = read(page).all("h1")

    assert headline.text.strip(" ").casefold() == clean(text).casefold()  # a blank at an end sets elements apart
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", page)
    assert clean(text) in {pod["name"] for pod in data_of(page, "moments-a")["pods"]} or not clean(text)


def test_a_graceful_run_says_what_would_not_have_shown():
    assert "would not show" in words(read(render_run(graceful())))


def test_the_longest_outage_is_rounded_up_never_down():
    tiles = tree_of("immediate-exit").all("dl", class_="tiles")[0]
    (outage,) = immediate_exit().outages

    assert outage.bound.length == 520_000_000
    assert "≤ 0.6 s" in words(tiles)
