"""JUnit XML: a case for each check and each cause.

What is written is valid against both schemas that are in use, Jenkins' and Ant's, and so has no more than they share:
details of a case that passed stand in the suite's `system-out`, a wall time has no zone, the host is never named. What
was lost is a `failure`, what could not be judged is an `error`: no CI goes on after either.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from rollcheck.render.checks import Check, Checkup, State
from rollcheck.render.text import clean, clean_lines

_TAGS = {State.FAILED: "failure", State.UNKNOWN: "error", State.ASIDE: "skipped"}


def render_junit(checkup: Checkup) -> bytes:
    """The bytes of a JUnit file."""
    root = ET.Element("testsuites")
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "package": "rollcheck",
            "id": "0",
            "name": _line(f"rollcheck {checkup.kind}: {checkup.subject}"),
            # Ant's schema forbids a zone and a fraction.
            "timestamp": checkup.started[:19],
            "hostname": "localhost",
            "tests": str(len(checkup.checks)),
            "failures": str(len(checkup.of(State.FAILED))),
            "errors": str(len(checkup.of(State.UNKNOWN))),
            "skipped": str(len(checkup.of(State.ASIDE))),
            "time": f"{checkup.seconds:.3f}",
        },
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in checkup.properties:
        ET.SubElement(properties, "property", {"name": _line(name), "value": _line(value)})
    for check in checkup.checks:
        _case(suite, checkup, check)
    ET.SubElement(suite, "system-out").text = _text(_output(checkup))
    ET.SubElement(suite, "system-err").text = ""
    ET.indent(root)
    declared: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return declared + b"\n"


def _case(suite: ET.Element, checkup: Checkup, check: Check) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        {"classname": f"rollcheck.{checkup.kind}.{_line(check.id)}", "name": _line(check.name), "time": "0"},
    )
    tag = _TAGS.get(check.state)
    if tag is None:
        return
    told = ET.SubElement(case, tag, {"message": _line(check.message)})
    if tag == "skipped":
        return  # a text in it is an error to some readers; its details are in system-out
    told.set("type", checkup.verdict)
    told.text = _text([check.message, *check.details, *(clean_lines(check.fix) if check.fix else ())])


def _output(checkup: Checkup) -> Iterable[str]:
    """What a person reads of the suite: the headline, and the details of each check."""
    yield f"{checkup.verdict.upper()}: {checkup.headline}"
    for check in checkup.checks:
        yield ""
        yield f"[{check.state}] {check.id}: {check.name}"
        if check.message:
            yield f"  {check.message}"
        for detail in check.details:
            yield f"  - {detail}"


def _text(lines: Iterable[str]) -> str:
    """Lines, each cleaned, its indentation kept: XML has no way to write a control character."""
    return "\n".join(cleaned for line in lines for cleaned in clean_lines(line.replace("\n", " ")))


def _line(text: str) -> str:
    """One line, never empty: the schemas' names have at least one character."""
    return clean(text) or "-"
