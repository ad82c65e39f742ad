import base64
import json
import string
import zlib

from hypothesis import given
from hypothesis import strategies as st
from reading import cells

from rollcheck.render.html.pack import cleaned, column, packed

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**50), 2**50), st.sampled_from(["", "5", "a", "b"]))
COLUMNS = st.one_of(
    st.lists(st.integers(-(2**50), 2**50)),
    st.lists(st.text()),
    st.lists(SCALARS),
    st.lists(st.dictionaries(st.text(max_size=3), SCALARS, max_size=2), max_size=8),
)


def same(one, other):
    """Equal, and of the same types: 1 is not true."""
    return json.dumps(one) == json.dumps(other)


@given(COLUMNS)
def test_a_column_is_read_back_as_it_was_but_for_what_nobody_may_see(values):
    assert same(cells(json.loads(json.dumps(column(values))), len(values)), [cleaned(value) for value in values])


def test_a_text_is_not_taken_for_the_number_that_looks_like_it():
    values = ["5", 5, "5", 5, None, "null", True, 1]

    assert same(cells(column(values), len(values)), values)


def test_values_that_are_all_alike_take_no_room():
    assert column([7] * 1000) == {"c": 7}
    assert column(["x"] * 1000) == {"c": "x"}


def test_instants_are_told_by_their_differences():
    assert column([1_000_000, 1_000_010, 1_000_005]) == {"d": [1_000_000, 10, -5]}


@given(st.recursive(st.text(), st.lists, max_leaves=5))
def test_packed_data_holds_nothing_that_means_anything_to_html(value):
    text = packed(cleaned(value))

    assert set(text) <= set(string.ascii_letters + string.digits + "+/=")
    assert json.loads(zlib.decompress(base64.b64decode(text))) == cleaned(value)
