"""Half an hour at 1,000 requests a second, 50 pods, 20,000 requests lost: how large, how long, how soon."""

from functools import cache
from time import process_time

from cards import card
from long_run import long_run
from reading import data_of

from rollcheck.render.html.run import render_run

LARGEST = 3_000_000
WRITTEN_S = 5.0
INTERACTIVE_MS = 1_000


@cache
def analysis():
    return card(long_run())


@cache
def page():
    return render_run(analysis())


def test_the_page_is_below_three_megabytes():
    assert len(page()) < LARGEST


def took(make):
    begun = process_time()
    make()
    return process_time() - begun


def test_the_page_is_written_in_less_than_five_seconds():
    """The better of two times: a machine that is busy with other work takes longer, even in processor time."""
    analysis()

    assert min(took(lambda: render_run(analysis())) for _ in range(2)) < WRITTEN_S


def test_no_lost_request_is_left_out_of_the_timeline():
    data = data_of(page(), "moments-a")

    assert sum(kind["count"] for kind in data["kinds"]) == len(analysis().timeline.failures) == 20_000


def test_the_page_can_be_used_within_a_second(window, pages):
    """The best of three times: a browser that has just been started is still busy with itself."""
    (pages / "long.html").write_bytes(page())
    times = []
    for _ in range(3):
        window.open_and_wait(pages / "long.html")
        times.append(int(window.run("return document.documentElement.dataset.interactive")))

    assert min(times) < INTERACTIVE_MS


def test_every_fact_can_be_listed(window, pages):
    (pages / "long.html").write_bytes(page())
    window.open_and_wait(pages / "long.html")
    total = window.run("return [...document.querySelectorAll('#facts option')].map((o) => o.innerText)")

    assert f"Attempt ({20_000:,})" in total
    assert window.errors() == []
