"""A command line as Go's `flag` package reads it, a little more kindly: flags may also stand behind the URL.

`-name value`, `-name=value`, and the same with two dashes; a switch stands alone or is written `-name=false`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rollcheck.cli.durations import parse_duration
from rollcheck.cli.loadflags import BY_NAME, ELSEWHERE, FLAGS, OTHER_TOOLS, OURS, Flag, Kind
from rollcheck.errors import UsageError

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
HELP = frozenset({"h", "help"})
SEE = "`rollcheck load --help` lists all"


class Values:
    """The value of every flag, by its own name, given or default.

    Attributes:
        given: names of the flags on the command line, in order, each once.
        words: what was no flag: the URL, if all is well.
        help: whether help was asked for.
    """

    def __init__(self) -> None:
        self.given: dict[str, list[str]] = {}
        self.words: list[str] = []
        self.help = False

    def text(self, name: str) -> str:
        """The value as it was written, the last one if there are several."""
        return self.given[name][-1] if name in self.given else _flag(name).default

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a flag that may be given again."""
        return tuple(self.given.get(name, ()))

    def on(self, name: str) -> bool:
        """Whether the switch is on."""
        return self.text(name) in _TRUE

    def whole(self, name: str) -> int:
        """The value of an INT."""
        return _whole(name, self.text(name))

    def number(self, name: str) -> float:
        """The value of a FLOAT."""
        return _number(name, self.text(name))

    def seconds(self, name: str) -> float:
        """The value of a DURATION."""
        return _seconds(name, self.text(name))


def parse(arguments: Sequence[str]) -> Values:
    """What a command line says.

    Raises:
        UsageError: an unknown flag, a value that is none, a flag of one of fortio's other modes; one sentence.
    """
    values, rest = Values(), list(arguments)
    rest.reverse()
    while rest:
        word = rest.pop()
        if word == "--":
            values.words += reversed(rest)
            break
        if not word.startswith("-") or word == "-":
            values.words.append(word)
            continue
        name, equals, text = word.lstrip("-").partition("=")
        if name in HELP:
            values.help = True
            continue
        flag = _known(word, name)
        if flag.kind is Kind.BOOL:
            text = text if equals else "true"
        elif not equals:
            if not rest:
                raise UsageError(f"{dashed(name)} needs a value ({flag.meta}), for example {_example(flag)}")
            text = rest.pop()
        _check(flag, name, text)
        values.given.setdefault(flag.name, []).append(text)
    return values


def _flag(name: str) -> Flag:
    return BY_NAME[name]


def _known(word: str, name: str) -> Flag:
    flag = BY_NAME.get(name)
    if flag is not None and not word.startswith("---"):
        return flag
    if name in ELSEWHERE:
        raise UsageError(f"{dashed(name)} is not here: {ELSEWHERE[name]}")
    meant = _meant(name)
    raise UsageError(f"there is no flag {word.partition('=')[0]}{f': did you mean {meant}?' if meant else ''} ({SEE})")


def _meant(name: str) -> str:
    """The flag that was probably meant, as it should be written; empty when nobody can tell."""
    from difflib import get_close_matches

    if name in OTHER_TOOLS:
        return dashed(OTHER_TOOLS[name])
    letter = BY_NAME.get(name[:1])
    if letter is not None and name[1:].replace(".", "", 1).rstrip("smh").isdigit():
        return f"-{name[0]} {name[1:]}"
    plain = name.replace("_", "-").lower()
    by_plain = {spelling.lower(): spelling for spelling in (*BY_NAME, *ELSEWHERE) if len(spelling) > 1}
    squeezed = {spelling.replace("-", ""): spelling for spelling in by_plain.values()}
    found = by_plain.get(plain) or squeezed.get(plain.replace("-", ""))
    if found is None:
        close = get_close_matches(plain, by_plain, n=1, cutoff=0.6)
        found = by_plain[close[0]] if close else None
    return dashed(found) if found else ""


def dashed(name: str) -> str:
    """A flag as --help writes it: ours with two dashes, fortio's with one."""
    return f"--{name}" if name in OURS else f"-{name}"


def _example(flag: Flag) -> str:
    examples = {Kind.DURATION: "10s", Kind.FLOAT: "1000", Kind.INT: "8"}
    said = flag.default if flag.default not in ("", "0") else examples.get(flag.kind, flag.meta)
    return f"{dashed(flag.name)} {said}"


def _check(flag: Flag, name: str, text: str) -> None:
    """Refuse what is no value of the flag."""
    if flag.kind is Kind.BOOL and text not in _TRUE | _FALSE:
        raise UsageError(f"{dashed(name)}: {text!r} is neither true nor false; write {dashed(name)}=false")
    if flag.kind is Kind.INT:
        _whole(name, text)
    elif flag.kind is Kind.FLOAT:
        _number(name, text)
    elif flag.kind is Kind.DURATION:
        _seconds(name, text)


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as e:
        raise UsageError(f"{dashed(name)}: {text!r} is no whole number; write for example 8") from e


def _number(name: str, text: str) -> float:
    if name == "qps" and text == "max":
        return 0.0
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{dashed(name)}: {text!r} is no number; write for example 1000 or 0.5")
    return value


def _seconds(name: str, text: str) -> float:
    return parse_duration(text, dashed(name))


def mooted(values: Values) -> list[str]:
    """A sentence for each flag that was given and means nothing here."""
    return [f"{dashed(name)}: {_flag(name).moot}" for name in values.given if _flag(name).moot]


def help_text() -> str:
    """What --help prints."""
    lines = [
        "Usage: rollcheck load [FLAGS] URL",
        "",
        "Puts load on a URL, as `fortio load` does: its flags, its lines, its JSON. Response times count from the",
        "instant at which a request was due, nothing is sent twice, and the generator reports on itself.",
        "",
        "  rollcheck load -c 8 -qps 1000 -t 60s http://localhost:8080/",
        "  rollcheck load -qps 0 -c 64 -t 10s -json - http://localhost:8080/ > result.json",
        "  rollcheck load -qps 200 -t 1m --threshold 'p99<50ms' --threshold 'errors==0' https://shop.example.com/",
    ]
    group = ""
    for flag in FLAGS:
        if flag.name.startswith("logger-") and flag.name != "logger-json":
            continue
        if flag.group != group:
            group = flag.group
            lines += ["", f"{group}:"]
        lines += _help_of(flag)
    lines += [
        "",
        "Lanes are NAME=SHARE[:CONNECTIONS[:MORE]]: reused (keep-alive), fresh (a connection for each request),",
        "idle_aged (each connection rests for MORE: idle_aged=0.1:4:6s), long (asks for MORE: long=0.1:2:/slow).",
        "Flags take one dash or two, `-t 60s` or `-t=60s`, before or after the URL. Durations: 500ms, 1m30s, 60.",
        "Exit codes: 0 done, 1 a threshold missed, the warm-up failed, -abort-on or no good answer at all, 2 usage,",
        "3 the generator could not do what was asked, 130 interrupted (the report is printed all the same).",
    ]
    return "\n".join(lines)


def _help_of(flag: Flag) -> list[str]:
    names = ", ".join(dashed(name) for name in (flag.name, *flag.also)).replace("logger-json", "logger-…")
    left = f"  {names} {flag.meta}".rstrip()
    told = flag.help or f"{flag.moot[:1].upper()}{flag.moot[1:]}."
    if flag.default not in ("", "false", "0") and not flag.moot:
        told += f" [{flag.default}]"
    return [f"{left:<30} {told}"] if len(left) <= 30 else [left, f"{'':<30} {told}"]
