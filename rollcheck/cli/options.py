"""Options in groups: a command takes a few dataclasses instead of thirty parameters.

A field of a group is written as typer wants a parameter, `Annotated[type, typer.Option(…)]` with a default, and its
docstring is the option's help. A group has the methods that turn its values into what the work behind is called with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, get_type_hints

import typer

from rollcheck.errors import UsageError

Output = Annotated[str, typer.Option("-o", "--output", metavar="FORMAT", help="text or json.")]


def check_output(output: str) -> None:
    """Raise `UsageError` for what is no `Output`."""
    if output not in ("text", "json"):
        raise UsageError(f"-o {output!r}: choose text or json")


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer can read it: each field of its dataclass parameters is an option of its own."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[Parameter] = []
    for parameter in signature(command).parameters.values():
        if parameter.name in groups:
            parameters += _options(groups[parameter.name])
        else:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[parameter.name]))

    @wraps(command)
    def with_options(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    # what typer reads, instead of the signature behind
    del with_options.__wrapped__
    with_options.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def _options(group: Any) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(field.name, Parameter.KEYWORD_ONLY, default=_default(field), annotation=hints[field.name])
        for field in fields(group)
    ]


def _default(field: Field[Any]) -> Any:
    return Parameter.empty if field.default is MISSING else field.default
