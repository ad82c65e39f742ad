"""Further forms of the report, asked for when the run begins."""

import xml.etree.ElementTree as ET

import pytest

from rollcheck.render import figures

pytestmark = pytest.mark.loopback


@pytest.fixture(autouse=True)
def pictures(monkeypatch):
    monkeypatch.setattr(figures, "timeline_images", lambda _: (b"png", b"svg"))


def test_a_run_writes_what_was_asked_for_at_its_end(stand):
    place = stand.folder / "j.xml"

    code = stand.main("--junit", str(place), "--quiet")

    suite = ET.parse(place).getroot()[0]
    assert (code, suite.attrib["failures"], suite.attrib["errors"]) == (0, "0", "0")


def test_a_place_that_cannot_be_written_is_refused_before_the_cluster_is_asked(stand, capsys):
    code = stand.main("--junit", "/no/such/folder/j.xml")

    assert code == 2
    assert not (stand.folder / "out").exists()
    assert "--junit: cannot write" in capsys.readouterr().err
