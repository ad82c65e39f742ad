"""Pages as a reader's browser has them."""

import pytest
from cards import CARDS, NASTY, graceful, immediate_exit, in_flight_and_broken, nasty

from rollcheck.render.html.run import render_run
from rollcheck.render.text import clean

RIGHT, LEFT, DOWN, UP, ENTER, ESCAPE, HOME = "\ue014", "\ue012", "\ue015", "\ue013", "\ue007", "\ue00c", "\ue011"
FOCUS = "document.querySelector('.plot').focus()"
PHONE = {"width": 390, "height": 844, "phone": True}


@pytest.fixture
def opened(window, pages):
    """Opens the page of a card, in a window of 1,280 by 800 unless told otherwise."""

    def open_it(make, **look):
        path = pages / f"{make.__name__}.html"
        if not path.exists():
            path.write_bytes(render_run(make()))
        window.look(**look)
        window.open_and_wait(path)
        return window

    return open_it


def on_the_first_screen(window, selector):
    script = (
        "const b = document.querySelector(arguments[0]).getBoundingClientRect(); return [b.top, b.bottom, innerHeight]"
    )
    top, bottom, height = window.run(script, selector)
    return top >= 0 and bottom <= height


@pytest.mark.parametrize("look", [{}, PHONE, {"dark": True}])
def test_verdict_and_cause_are_on_the_first_screen(opened, look):
    window = opened(immediate_exit, **look)

    assert window.text(".badge").casefold().endswith("not graceful")
    assert window.text("h1") == immediate_exit().headline
    assert window.text(".cause h3").startswith("1 Immediate exit on SIGTERM")
    assert all(on_the_first_screen(window, part) for part in (".badge", "h1", ".cause h3", ".cause .summary"))


@pytest.mark.parametrize("make", CARDS.values(), ids=CARDS)
@pytest.mark.parametrize("look", [{}, PHONE])
def test_no_page_complains_or_is_wider_than_its_window(opened, make, look):
    window = opened(make, **look)

    assert window.errors() == []
    assert window.run("return document.documentElement.scrollWidth <= innerWidth")


def test_counts_are_read_off_the_table(opened):
    window = opened(immediate_exit)
    counts = immediate_exit().counts
    told = window.run(
        "return [...document.querySelectorAll('#requests tbody tr')].map((r) => [...r.cells].map((c) => c.innerText))"
    )

    assert ["all", f"{counts.sent:,}", f"{counts.ok:,}", f"{counts.failed:,}", f"{counts.not_sent:,}", ""] in told


class TestByKeyboard:
    def test_the_first_lost_request_is_told_with_its_cause(self, opened):
        window = opened(immediate_exit)
        window.run(FOCUS)
        window.keys(RIGHT, ENTER)
        first = immediate_exit().timeline.failures[0]

        assert window.text(".sheet h2") == f"Lost request: refused, fresh lane · #{first.seq}"
        details = window.text(".sheet-body")
        assert "1. Immediate exit on SIGTERM" in details
        assert "connect / refused" in details
        assert "ECONNREFUSED" in details
        assert f"{first.pod} (known from the" in details

    def test_every_row_can_be_reached(self, opened):
        window = opened(immediate_exit)
        window.run(FOCUS)
        window.keys(RIGHT)
        heard = []
        for _ in range(40):
            heard.append(window.text(".chart [role=status]"))
            window.keys(DOWN)

        assert any("old-3" in words for words in heard)
        assert any("new-1" in words for words in heard)
        assert any("ready endpoint" in words for words in heard)
        assert any("failed per second" in words for words in heard)
        assert any("p99" in words for words in heard)

    def test_arrows_walk_from_one_lost_request_to_the_next(self, opened):
        window = opened(immediate_exit)
        window.run(FOCUS)
        window.keys(RIGHT)
        first = window.text(".chart [role=status]")
        window.keys(RIGHT)
        second = window.text(".chart [role=status]")
        window.keys(LEFT)

        assert first != second
        assert window.text(".chart [role=status]") == first

    def test_plus_zooms_in_and_nought_shows_all(self, opened):
        window = opened(immediate_exit)
        window.run(FOCUS)
        whole = window.text(".range")
        window.keys("+")
        window.wait_for(f"return document.querySelector('.range').innerText !== {whole!r}")
        window.keys("0")

        assert window.wait_for(f"return document.querySelector('.range').innerText === {whole!r}")

    def test_escape_closes_the_details_and_gives_the_focus_back(self, opened):
        window = opened(immediate_exit)
        window.run(FOCUS)
        window.keys(RIGHT, ENTER, ESCAPE)

        assert window.run("return document.querySelector('.sheet').hidden")
        assert window.run("return document.activeElement === document.querySelector('.plot')")


class TestByMouse:
    def test_a_click_on_a_lost_request_shows_it(self, opened):
        window = opened(immediate_exit)
        x, y = window.run(MARK_OF_FIRST_ERROR)
        window.click_at(".plot", x, y)

        assert window.text(".sheet h2").startswith("Lost request: refused, fresh lane")

    def test_a_click_on_a_pod_tells_its_life(self, opened):
        window = opened(immediate_exit)
        x, y = window.run(MIDDLE_OF_FIRST_POD)
        window.click_at(".plot", x, y)

        assert window.text(".sheet h2") == "Pod old-1"
        life = window.texts(".life li")
        assert any("web ended with 143" in words for words in life)
        assert any("left the endpoints" in words for words in life)
        assert "inferred" in window.text(".sheet-body")

    def test_a_lost_request_in_the_table_is_told_whole(self, opened):
        window = opened(in_flight_and_broken)
        window.click("#requests tbody tr:nth-child(2) [type=button]")

        assert window.text(".sheet h2").startswith("Lost request: ")
        assert "Intended" in window.text(".sheet-body")

    def test_a_span_that_is_drawn_over_is_zoomed_into(self, opened):
        window = opened(immediate_exit)
        window.drag(".plot", (400, 100), (700, 100))
        start, end = (float(part.rstrip(" s").replace("−", "-")) for part in window.text(".range").split(" to "))

        assert end - start == pytest.approx(40 * 300 / (1_112 - 236 - 14), rel=0.1)

    def test_a_pointer_over_a_pod_is_told_how_the_pod_is_just_then(self, opened):
        window = opened(immediate_exit)
        x, y = window.run(MIDDLE_OF_FIRST_POD)
        window.hover(".plot", x, y)

        assert window.text(".tip").endswith("s: old-1: ready, in the endpoints")

    def test_a_button_shows_the_losses_alone(self, opened):
        window = opened(immediate_exit)
        whole = window.text(".range")
        window.click(".chart .tools button:nth-child(3)")

        assert window.wait_for(f"return document.querySelector('.range').innerText !== {whole!r}")

    def test_the_patch_can_be_copied(self, opened):
        window = opened(immediate_exit)
        window.click("button.copy")

        assert window.wait_for(
            "return ['Copied', 'Selected'].includes(document.querySelector('button.copy').innerText)"
        )


# Where things are drawn is known to the script alone; the row heights are those of the scene.
ROWS = """
const canvas = document.querySelector('.plot canvas');
const width = canvas.clientWidth;
const left = Math.round(Math.min(236, Math.max(96, width * 0.21)));
const x = (share) => left + share * (width - left - 14);
"""
MARK_OF_FIRST_ERROR = ROWS + "return [x((11 + 2.3) / 40), 40 + 24 + 10]"
MIDDLE_OF_FIRST_POD = ROWS + "return [x(0.3), 40 + 24 + 3 * 20 + 24 + 10]"


class TestFacts:
    def test_a_fact_is_shown_whole(self, opened):
        window = opened(immediate_exit)
        window.run(SHOW_KIND, "KubeEvent")
        window.click("#facts tbody tr button")

        assert window.text(".sheet h2").startswith("KubeEvent 1 of ")
        assert "Stopping container web" in window.text(".sheet-body")

    def test_they_are_counted_by_kind(self, opened):
        window = opened(immediate_exit)
        window.run(SHOW_KIND, "Attempt")
        failed = len(immediate_exit().timeline.failures)

        assert window.text("#facts [role=status]").startswith(f"{failed} facts, page 1 of ")

    def test_words_find_them(self, opened):
        window = opened(immediate_exit)
        window.run(SEARCH, "EHOSTUNREACH")

        assert window.text("#facts [role=status]").startswith("3 facts, page 1 of 1")

    def test_they_are_paged(self, opened):
        window = opened(immediate_exit)
        first = window.texts("#facts tbody tr")
        window.run("document.querySelectorAll('#facts .tools')[1].querySelectorAll('button')[1].click()")

        assert len(first) == 20
        assert window.texts("#facts tbody tr") != first

    def test_only_those_that_the_timeline_shows(self, opened):
        window = opened(immediate_exit)
        whole = window.text("#facts [role=status]")
        window.click(".chart .tools button:nth-child(3)")
        window.click("#facts input[type=checkbox]")

        assert window.text("#facts [role=status]") != whole


CHANGED = "dispatchEvent(new Event('%s', {bubbles: true}))"
SHOW_KIND = f"const e = document.querySelector('#facts select'); e.value = arguments[0]; e.{CHANGED % 'change'}"
SEARCH = f"const e = document.querySelector('#facts input[type=search]'); e.value = arguments[0]; e.{CHANGED % 'input'}"


class TestHarmfulNames:
    def test_no_name_becomes_an_element_or_runs(self, opened):
        """The page's policy would report what it refuses to run; there is nothing to refuse."""
        window = opened(nasty)
        scripts = window.run("return document.scripts.length")
        window.run(FOCUS)
        for _ in range(12):
            window.keys(DOWN, ENTER)
        window.run(SEARCH, "script")
        window.run("for (const button of document.querySelectorAll('#facts tbody button')) button.click()")

        assert window.run("return document.scripts.length") == scripts == 3
        assert window.errors() == []

    def test_a_name_is_told_as_it_is(self, opened):
        window = opened(nasty)
        window.run(FOCUS)
        window.keys(RIGHT, ENTER)

        assert clean(NASTY + "old") in window.text(".sheet-body")


class TestWithoutScript:
    @pytest.fixture(autouse=True)
    def _no_scripts(self, window):
        window.scripts(on=False)
        yield
        window.scripts(on=True)

    def test_verdict_cause_counts_and_tables_are_there(self, window, pages):
        (pages / "silent.html").write_bytes(render_run(in_flight_and_broken()))
        window.open(pages / "silent.html")
        window.scripts(on=True)  # the page has been read by now; only our own questions need it
        text = window.text("body")

        assert in_flight_and_broken().headline in text
        assert all(cause.summary in text for cause in in_flight_and_broken().causes)
        assert f"{in_flight_and_broken().counts.failed:,}" in text
        assert "old-1" in window.text("#pods")
        assert "The timeline is drawn by JavaScript, which is off" in text
        assert window.run("return document.documentElement.dataset.interactive === undefined")


@pytest.mark.parametrize("dark", [False, True])
def test_words_can_be_told_from_their_ground(opened, dark):
    """WCAG AA: 4.5 to 1, of every colour that text has on what lies under it."""
    window = opened(graceful, dark=dark)

    assert window.run(LOW_CONTRAST) == []


LOW_CONTRAST = """
const parse = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const under = (e) => {
  for (; e; e = e.parentElement) {
    const colour = parse(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const low = [];
for (const e of document.querySelectorAll('body *')) {
  const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!own || !e.checkVisibility() || e.disabled || ['SCRIPT', 'STYLE'].includes(e.tagName)) continue;
  const [one, two] = [light(parse(getComputedStyle(e).color)), light(under(e))];
  const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
  if (ratio < 4.5) low.push(`${e.tagName}.${e.className} ${e.textContent.slice(0, 20)} ${ratio.toFixed(2)}`);
}
return low;
"""
