import re
from dataclasses import replace

import pytest
from builders import Story
from cards import CARDS, card, graceful, immediate_exit, in_flight_and_broken, killed, many, nasty, stuck

from rollcheck.analyze.analysis import analyse
from rollcheck.facts.attempts import Lane
from rollcheck.render.tables import lane_counts
from rollcheck.render.terminal import fix_names, render_terminal
from rollcheck.render.text import cells

ANSI = re.compile(r"\x1b\[[0-9;]*m")
PATHS = {name: f"reports/web-1/{name}" for name in ("result.json", "timeline.png", "fix-1.yaml", "facts.jsonl")}


def plain(analysis, width=80, paths=PATHS):
    return render_terminal(analysis, width=width, colour=False, paths=paths)


@pytest.fixture(params=CARDS)
def any_card(request):
    return CARDS[request.param]()


@pytest.mark.parametrize("name", CARDS)
def test_the_summary_is_golden(name, golden):
    golden(f"{name}.txt", plain(CARDS[name]()).encode())


def test_plain_text_has_no_escape(any_card):
    assert "\x1b" not in plain(any_card)


def test_colour_only_repeats_what_the_words_say(any_card):
    coloured = render_terminal(any_card, width=80, colour=True, paths=PATHS)

    assert ANSI.search(coloured)
    assert ANSI.sub("", coloured) == plain(any_card)


@pytest.mark.parametrize("width", [60, 80, 110])
def test_no_line_is_wider_than_the_terminal(width):
    for make in (graceful, immediate_exit, killed, in_flight_and_broken, stuck, many):
        for line in plain(make(), width=width).splitlines():
            assert cells(line) <= width, line


def test_hostile_names_leave_only_printable_lines_that_fit():
    text = plain(nasty())

    assert all(line.isprintable() for line in text.splitlines())
    # Only the command, which is there to be copied, may be wider.
    assert all(cells(line) <= 80 for line in text.splitlines() if not re.search("kubectl|^ +patch deployment", line))


def test_the_first_line_is_the_verdict():
    assert plain(graceful()).startswith("GRACEFUL: all 2,900 requests")
    assert plain(immediate_exit()).startswith("NOT GRACEFUL: 57 of 5,800 requests failed")
    assert plain(stuck()).startswith("INCONCLUSIVE: ")


def test_reasons_of_an_inconclusive_run_follow_the_verdict():
    assert plain(stuck()).splitlines()[1] == "  - the rollout did not end within 30 s"


def test_the_patch_stands_on_lines_that_can_be_copied():
    text = plain(immediate_exit())

    assert "     spec:\n       template:\n         spec:\n           containers:\n           - name: web\n" in text


def test_the_command_applies_the_file_that_was_written():
    assert "patch deployment web \\\n       --patch-file reports/web-1/fix-1.yaml\n" in plain(immediate_exit())


def test_the_command_carries_the_patch_when_no_file_was_written():
    text = plain(immediate_exit(), paths={})

    assert "--patch-file /dev/stdin <<'END'\n     spec:" in text
    assert "\n     END\n" in text


def test_the_command_names_context_and_namespace():
    assert "kubectl --context test -n default patch deployment web" in plain(immediate_exit())


def test_the_context_in_the_command_is_said_to_be_the_sandboxs():
    analysis = immediate_exit()
    timeline = analysis.timeline
    header = replace(timeline.document.header, sandbox=True)
    analysis = replace(analysis, timeline=replace(timeline, document=replace(timeline.document, header=header)))

    assert "   Apply it (that context is the sandbox's: name your own cluster's):\n" in plain(analysis)
    assert "   Apply it:\n" in plain(immediate_exit())


def test_a_patch_that_two_causes_share_is_shown_once():
    one = immediate_exit().causes[0]
    twice = replace(immediate_exit(), causes=(one, replace(one, mode=6, name="pinned connections")))

    assert plain(twice).count("seconds: 5") == 1
    assert "The patch is that of 1." in plain(twice)
    assert list(fix_names(twice)) == ["fix-1.yaml"]


def test_different_patches_have_different_files():
    both = replace(immediate_exit(), causes=(*immediate_exit().causes, *killed().causes))

    assert list(fix_names(both)) == ["fix-1.yaml", "fix-2.yaml"]


def test_a_cause_that_is_not_the_replacements_says_so():
    before = replace(immediate_exit().causes[0], of_replacement=False)

    assert "(not the replacement's doing)" in plain(replace(immediate_exit(), causes=(before,)))


def test_causes_beyond_the_fourth_are_named_in_one_sentence():
    causes = tuple(replace(killed().causes[1], name=f"cause {n}", mode=n) for n in range(1, 7))

    assert "Also: cause 5 (0 requests); cause 6 (0 requests)." in plain(replace(killed(), causes=causes))


def test_lanes_are_counted_exactly():
    lanes = {each.lane: (each.sent, each.ok, each.failed) for each in lane_counts(immediate_exit())}

    assert lanes == {Lane.REUSED: (3900, 3897, 3), Lane.FRESH: (3900, 3846, 54)}


def test_lane_counts_add_up_to_the_totals(any_card):
    lanes = lane_counts(any_card)

    assert sum(each.sent for each in lanes) == any_card.counts.sent
    assert sum(each.failed for each in lanes) == any_card.counts.failed
    assert sum(each.not_sent for each in lanes) == any_card.counts.not_sent


def test_requests_never_sent_are_said():
    assert "1 request of 4,100 never sent" in plain(in_flight_and_broken())


def test_no_share_is_printed_as_a_percentage_of_success(any_card):
    assert not re.search(r"\d ?%(?! \))", plain(any_card).replace("(bounds of 95 %)", ""))


def test_old_pods_are_told_from_deletion_to_exit():
    assert re.search(
        r"old-1 +\+2\.21 +\+2\.23 +\+2\.00\.\.\+2\.31 +143 in 0-0\.3 s +\d+, 18 lost", plain(immediate_exit())
    )


def test_of_many_pods_ten_are_shown_and_the_rest_counted():
    text = plain(many())

    assert len(re.findall(r"^  old-\d+ ", text, re.MULTILINE)) == 10
    assert "  and 14 more in result.json" in text


def test_pods_that_none_deleted_are_one_line():
    assert "Old pods: 3, none of them deleted" in plain(stuck())


def test_of_what_could_not_be_seen_a_few_facts_are_told_whole_and_the_rest_counted(any_card):
    unseen = tuple(f"no right to watch {n} " + "and so on " * 9 + f"to the end of {n}" for n in range(9))
    _, _, rest = plain(replace(any_card, blind=unseen)).partition("What this run could not see (bounds of 95 %)\n")
    told = " ".join(rest.partition("\n\n")[0].split())

    shown = [n for n in range(9) if f"to the end of {n}" in told]
    assert shown
    assert "…" not in told
    assert f"{9 - len(shown)} more in result.json" in told


def test_the_headlines_count_is_a_row_of_the_table_and_both_say_what_they_count():
    story = Story(qps=100).graceful_rollout(at=11, pods=1).end(at=30)
    text = plain(analyse(story.document()))
    total, since = 2900, 1900

    assert text.startswith(f"GRACEFUL: None of {since:,} requests was lost while 1 pod was replaced")
    assert f"(Counted since the restart: {since:,} of the run's {total:,} requests.)" in text
    assert re.search(r"^Requests, whole run +sent +ok +failed$", text, re.MULTILINE)
    assert re.search(rf"^  all +{total:,} +{total:,} +0$", text, re.MULTILINE)
    assert re.search(rf"^  since the restart +{since:,} +{since:,} +0$", text, re.MULTILINE)


def test_a_run_without_a_replacement_has_no_row_for_it():
    assert "since the" not in plain(CARDS["unsealed"]())


def test_the_measured_propagation_is_said_with_its_preStop():  # noqa: N802
    assert "for 0.6-0.62 s after its deletion (a\n    preStop of 5 s covers it)" in plain(immediate_exit())


def test_files_are_named_by_folder():
    assert plain(graceful()).endswith("\nreports/web-1/: result.json timeline.png fix-1.yaml facts.jsonl\n")


def test_a_run_in_the_sandbox_says_that_it_is_no_evidence():
    text = plain(card(Story(header={"sandbox": True}).end(at=5).document()))

    assert "sandbox" in text


def test_fresh_probes_are_counted_beside_the_requests():
    counts = replace(immediate_exit().counts, probes=12, probes_failed=2)

    assert "  12 fresh probes after failures: 10 ok, 2 failed\n" in plain(replace(immediate_exit(), counts=counts))
