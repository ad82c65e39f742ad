"""What `kubectl get` prints: objects as rows of a meta.k8s.io/v1 Table.

kubectl shows what the server gives it: without this it would know names and ages alone. Columns and cells: `columns`
and `podcolumns`; source of both: kubernetes `pkg/printers/internalversion/printers.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rollcheck.sandbox.apiserver import columns, podcolumns
from rollcheck.sandbox.apiserver.columns import Column
from rollcheck.sandbox.trees import Json, at

COMPLETED = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


@dataclass(frozen=True, slots=True)
class Printer:
    """How a kind is printed.

    Attributes:
        cells: one value a column, from an object and the time now.
    """

    columns: tuple[Column, ...]
    cells: Callable[[Json, datetime], list[Any]]


ANY = Printer((Column("Name", format="name"), Column("Created At")), columns.any_cells)
PRINTERS: dict[str, Printer] = {
    "Pod": Printer(podcolumns.COLUMNS, podcolumns.cells),
    **{kind: Printer(*pair) for kind, pair in columns.PRINTERS.items()},
}


def table(kind: str, objects: Iterable[Json], now: datetime, include: str = "Metadata") -> Json:
    """A Table of objects; `include` says what lies beside the cells: None, Metadata or Object."""
    printer = PRINTERS.get(kind, ANY)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": [column.definition() for column in printer.columns],
        "rows": [_row(kind, printer, obj, now, include) for obj in objects],
    }


def _row(kind: str, printer: Printer, obj: Json, now: datetime, include: str) -> Json:
    row: Json = {"cells": printer.cells(obj, now)}
    phase = at(obj, "status", "phase")
    if kind == "Pod" and phase in COMPLETED:
        row["conditions"] = [{"type": "Completed", "status": "True", "reason": phase, "message": COMPLETED[phase]}]
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
    return row
