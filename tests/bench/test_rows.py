from pathlib import Path

import pytest

from bench.peers import FORTIO, OURS, Found, Load
from bench.report import replace_figures
from bench.rows import ROWS
from bench.servers import Nginx
from bench.session import Session
from bench.spawn import ROOT, BenchError

DOCS = (ROOT / "docs" / "benchmarks.md").read_text()


def session(*, engine_alone: bool) -> Session:
    target = Nginx(url="", tls_url="", counting_url="", access_log=Path("x"), ca_file=Path("x"))
    return Session(
        programs={"rollcheck": Found(("rollcheck",), "1"), "wrk": Found(("wrk",), "4")},
        engine_alone=engine_alone,
        nginx=target,
        rounds=5,
        seconds=4,
        quick=False,
        long=False,
        say=print,
    )


@pytest.mark.parametrize("key", list(ROWS))
def test_the_document_says_how_each_row_is_measured(key: str) -> None:
    assert f"| `{key}` |" in DOCS


def test_the_document_has_a_place_for_the_figures() -> None:
    assert "the figures" in replace_figures(DOCS, "the figures")


def test_a_generator_that_is_not_here_does_not_take_part() -> None:
    assert session(engine_alone=False).present(FORTIO, OURS) == [OURS]


def test_rollcheck_is_measured_by_its_command() -> None:
    assert session(engine_alone=False).argv(OURS, Load(url="http://x/"))[:2] == ["rollcheck", "load"]


def test_the_engine_alone_refuses_what_only_the_command_knows() -> None:
    with pytest.raises(BenchError, match="does not know -timeout"):
        session(engine_alone=True).argv(OURS, Load(url="http://x/", extra=("-timeout", "1s")))
