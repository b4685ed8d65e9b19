"""The version of what `checkpoint.json` says, and how what older versions of the library wrote is read.

A change of that file raises `SCHEMA` by one and enters in `MIGRATIONS`, at the old number, the function that makes a
document of that schema one of the next. Files stay as they are: a document is migrated whenever it is read, and names in
`groups` stay those under which the arrays lie.
"""

from collections.abc import Callable
from typing import Any


Document = dict[str, Any]

SCHEMA = 1
MIGRATIONS: dict[int, Callable[[Document], Document]] = {}


def known_schemas() -> list[int]:
    """The schemas that can be read, the present one last."""
    oldest = SCHEMA
    while oldest - 1 in MIGRATIONS:
        oldest -= 1
    return list(range(oldest, SCHEMA + 1))


def migrated(document: Document) -> Document:
    """A document of a known schema as one of the present schema. What is wrong with it shows as any error."""
    for schema in range(document["schema"], SCHEMA):
        document = {**MIGRATIONS[schema](document), "schema": schema + 1}
    return document
