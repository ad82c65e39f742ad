import pytest
from cards import NASTY
from hypothesis import given
from hypothesis import strategies as st

from rollcheck.render.text import (
    cells,
    clean,
    clean_lines,
    counted,
    offset,
    outcome_words,
    pad,
    seconds,
    sentence,
    shorten,
    upper_share,
    well_formed,
    wrap,
)


def test_escape_is_spelled_out():
    assert clean("a\x1b[31mb") == "a\\x1b[31mb"


def test_line_breaks_of_every_kind_become_one_blank():
    assert clean("a\r\n\u2028\tb\u2029c\x85d") == "a b c d"


def test_an_override_of_the_direction_of_writing_is_spelled_out():
    assert clean("\u202egnp.exe") == "\\u202egnp.exe"


def test_a_lone_surrogate_is_spelled_out():
    assert clean("\udc80") == "\\udc80"


@given(st.text())
def test_cleaned_text_has_no_character_that_a_terminal_obeys(text):
    assert clean(text).isprintable()


@given(st.text())
def test_cleaning_twice_changes_nothing_more(text):
    assert clean(clean(text)) == clean(text)


@given(st.text())
def test_well_formed_text_can_be_written_as_utf_8(text):
    well_formed(text + "\ud800").encode()


def test_lines_keep_their_indentation():
    assert clean_lines("a:\n  b: \x07\n\n") == ["a:", "  b: \\x07", "", ""]


def test_a_patch_is_not_broken_at_an_exotic_line_separator():
    assert clean_lines("a: x\u2028b") == ["a: x b"]


@given(st.text(alphabet="ab é漢👍\u0301"), st.integers(3, 40))
def test_shortened_text_fits(text, width):
    assert cells(shorten(text, width)) <= width


def test_the_end_of_a_name_survives_shortening():
    assert shorten("wordpress-7d9f6c5b4f-x2x9k", 16) == "wordpres…f-x2x9k"


def test_wide_characters_count_two_columns():
    assert cells("漢字") == 4
    assert pad("漢", 4) == "漢  "


@given(st.lists(st.text(alphabet="abcdefg", min_size=1, max_size=30), max_size=30), st.integers(40, 110))
def test_wrapped_prose_keeps_every_word_whole_and_fits(words, width):
    lines = wrap(" ".join(words), width, first="  - ")

    assert all(cells(line) <= width for line in lines)
    assert " ".join(lines).split() == ["-", *words]


def test_a_word_longer_than_the_line_loses_its_middle():
    assert wrap("x" * 50 + "yz", 20) == ["x" * 10 + "…" + "x" * 7 + "yz"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("the pod ended", "The pod ended"), ("new-1 ended", "new-1 ended"), ("SIGTERM ignored", "SIGTERM ignored")],
)
def test_a_sentence_begins_with_a_capital_but_a_name_keeps_its_own(text, said):
    assert sentence(text) == said


def test_one_of_a_noun_is_singular():
    assert counted(1, "request") == "1 request"
    assert counted(5463, "request") == "5,463 requests"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0053, "5.3 ms"), (0.02, "20 ms"), (0.41, "0.41 s"), (5.3, "5.3 s"), (30.0, "30 s")]
)
def test_spans_are_said_with_few_figures(value, text):
    assert seconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(3.414, "+3.41"), (-10.0, "-10.0"), (-0.001, "+0.00"), (123.45, "+123.5")])
def test_offsets_bear_their_sign(value, text):
    assert offset(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.000912, "9.2 in 10,000"), (0.6316, "64 in 100"), (0.05, "5 in 100"), (1.0, "1 in 1"), (3e-6, "3 in 1,000,000")],
)
def test_an_upper_bound_is_rounded_up(share, text):
    assert upper_share(share) == text


@given(st.floats(1e-8, 0.999))
def test_an_upper_bound_never_shrinks_when_it_is_written_down(share):
    number, _, base = upper_share(share).replace(",", "").partition(" in ")

    assert float(number) / float(base) >= share * (1 - 1e-6)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("connect/refused", "refused"),
        ("await/bad_status 502", "status 502"),
        ("body/bad_status 500", "status 500"),
        ("send/closed_before_response", "closed before response (send)"),
        ("unlisted", "without details"),
    ],
)
def test_outcomes_have_words(key, words):
    assert outcome_words(key) == words


def test_a_hostile_name_is_one_printable_line():
    assert clean(NASTY).isprintable()
    assert "<script>" in clean(NASTY)
