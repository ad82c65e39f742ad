from dataclasses import replace

from cards import graceful, immediate_exit, nasty
from loads import failing, healthy
from reading import data_of, read

from rollcheck.analyze.compare import compare
from rollcheck.analyze.results import of_summary
from rollcheck.render.html.pair import render_loads, render_runs


def words(element):
    return " ".join(element.text.split())


def loads(a, b):
    sides = [of_summary(each, name, started="2026-01-15T12:00:00Z") for each, name in ((a, "a"), (b, "<b>"))]
    return compare(*sides)


def test_both_verdicts_are_on_top_with_what_each_run_is_called():
    tree = read(render_runs(immediate_exit(), graceful(), ("before", "after")))
    tops = [words(each) for each in tree.all("div", class_="side")]

    assert tops[0].startswith("A before✕ not graceful")
    assert tops[1].startswith("B after✓ graceful")


def test_what_changed_is_told_figure_by_figure():
    tree = read(render_runs(immediate_exit(), graceful(), ("before", "after")))
    (table,) = tree.all("div", aria_label="What changed")
    told = [[words(cell) for cell in row.all()[1:]] for row in table.all("tbody")[0].all("tr")]

    assert ["verdict", "not graceful", "graceful"] in told
    assert ["first cause", "Immediate exit on SIGTERM", "none"] in told


def test_each_run_has_its_own_timeline():
    page = render_runs(immediate_exit(), graceful(), ("before", "after"))

    assert sum(kind["count"] for kind in data_of(page, "moments-a")["kinds"]) > 0
    assert data_of(page, "moments-b")["kinds"] == []


def test_no_id_is_given_twice():
    for page in (
        render_runs(immediate_exit(), nasty(), ("a", "b")),
        render_loads(loads(healthy(), failing())),
    ):
        ids = [each.attributes["id"] for each in read(page).all() if "id" in each.attributes]
        assert len(ids) == len(set(ids))


def test_the_sentence_on_two_loads_is_that_of_the_terminal():
    (headline,) = read(render_loads(loads(failing(), failing()))).all("h1")

    assert headline.text == "No difference is larger than the noise."


def test_a_worse_load_is_called_worse():
    slower = replace(failing(), seconds=tuple(replace(r, p50_us=r.p50_us * 9) for r in failing().seconds))
    tree = read(render_loads(loads(failing(), slower)))

    assert words(tree.all("p", class_="badge")[0]).endswith("worse")
    assert any(words(each).startswith("worse (") for each in tree.all("span", class_="worse"))


def test_names_of_loads_are_told_as_they_are():
    tree = read(render_loads(loads(failing(), failing())))

    assert "B <b>" in words(tree.all("main")[0])
    assert not tree.all("b")


def test_both_curves_are_in_one_picture():
    (curve,) = read(render_loads(loads(failing(), failing()))).all("svg", class_="curve")

    assert [each.text for each in curve.all("text") if each.attributes.get("class", "").startswith("label")] == [
        "A",
        "B",
    ]


def test_two_pages_move_together_in_the_browser(window, pages):
    path = pages / "pair.html"
    path.write_bytes(render_runs(immediate_exit(), graceful(), ("before", "after")))
    window.look()
    window.open_and_wait(path)
    whole = window.texts(".range")
    window.click("#timeline-A .tools button[aria-label='Zoom in']")
    window.wait_for(f"return document.querySelectorAll('.range')[1].innerText !== {whole[1]!r}")

    assert window.errors() == []
    assert window.texts(".range")[0] == window.texts(".range")[1]
