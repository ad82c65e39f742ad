"""The gallery is what today's code makes of its documents. Where it is not, and that is meant so: make gallery."""

import gzip
import json
import re

import pytest

from rollcheck.facts.codec import encode_line
from rollcheck.record import read_document
from tests.gallery import FACTS, GALLERY, INDEX, RECORDED, STORIES, index, texts

AGAIN = "if this change is meant: make gallery, and look at what it changed"
every = pytest.mark.parametrize("name", STORIES)


@every
def test_texts_and_what_pictures_show_are_golden(name):
    for file, data in texts(read_document(GALLERY / name)).items():
        assert (GALLERY / name / file).exists(), f"reports/{name}/{file} is not there; {AGAIN}"
        assert data.decode() == (GALLERY / name / file).read_text(encoding="utf-8"), f"reports/{name}/{file}: {AGAIN}"


@every
def test_a_document_is_sealed_and_whole(name):
    document = read_document(GALLERY / name)

    assert document.seal is not None
    assert document.damaged == ""


@every
def test_a_document_says_the_same_when_it_is_written_again(name):
    document = read_document(GALLERY / name)
    lines = (GALLERY / name / FACTS).read_bytes().splitlines()
    again = [encode_line(fact) for fact in (document.header, *document.facts, document.seal)]

    assert list(map(json.loads, again)) == list(map(json.loads, lines))


@every
def test_nothing_in_the_gallery_names_the_machine_it_was_recorded_on(name):
    for file in (GALLERY / name).iterdir():
        if file.suffix not in (".png", ".html"):
            text = file.read_text(encoding="utf-8")
            assert re.findall(r"/(?:home|root|tmp|var/lib|work|Users)/[^\"\s]*", text) == [], file.name


def test_documents_that_were_recorded_for_the_tests_are_the_same_ones():
    for folder in RECORDED.iterdir():
        if (folder / f"{FACTS}.gz").exists():
            recorded = gzip.decompress((folder / f"{FACTS}.gz").read_bytes())
            assert recorded == (GALLERY / folder.name / FACTS).read_bytes(), f"reports/{folder.name}: {AGAIN}"


def test_the_index_lists_every_folder_and_every_link_leads_somewhere():
    page = index().decode()
    assert page == (GALLERY / INDEX).read_text(encoding="utf-8"), AGAIN
    assert {path.name for path in GALLERY.iterdir() if (path / FACTS).exists()} == set(STORIES)
    for link in re.findall(r"\]\(([^)]*)\)", page):
        assert (GALLERY / link).exists(), link
