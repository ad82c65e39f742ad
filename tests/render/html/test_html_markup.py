from hypothesis import given
from hypothesis import strategies as st
from reading import read

from rollcheck.render.html.markup import Html, el, joined, verbatim
from rollcheck.render.text import clean

TEXTS = st.one_of(
    st.text(), st.sampled_from(["<script>alert(1)</script>", "\"'><img src=x>", "&lt;", "\x1b[31m%s\n", "-->"])
)


@given(TEXTS)
def test_text_in_an_element_is_read_back_as_it_is_shown(text):
    (element,) = read(el("p", text).encode()).all("p")

    assert element.children == ([element.text] if element.text else [])
    assert element.text.strip() == clean(text)


@given(TEXTS)
def test_text_in_an_attribute_ends_neither_the_attribute_nor_the_element(text):
    (element,) = read(el("p", "x", title=text).encode()).all("p")

    assert element.attributes == {"title": clean(text)}
    assert element.text == "x"


@given(st.text(alphabet=st.sampled_from("ab <&\t\x1b\n")))
def test_lines_that_are_to_be_copied_stay_lines(text):
    (element,) = read(el("pre", verbatim(text)).encode()).all("pre")

    assert element.text.count("\n") == text.rstrip("\n").count("\n")
    assert "\x1b" not in element.text


def test_markup_is_not_escaped_again():
    assert el("p", Html("<b>x</b>"), "<") == "<p><b>x</b>&lt;</p>"


def test_a_blank_sets_words_apart_from_the_element_beside_them():
    assert joined("of ", el("b", "3"), " pods") == "of <b>3</b> pods"


def test_attributes_without_a_value_and_those_left_out():
    assert el("input", hidden=True, disabled=False, name=None) == "<input hidden>"


def test_nothing_makes_no_element_content():
    assert el("p", None, ["a", None]) == "<p>a</p>"
