"""The JSON Schema of a spec, for editors: `specs/schema.json` is this module's output, and a test compares them.

    python -m reconciler.spec.schema > specs/schema.json

An editor finds it by `# yaml-language-server: $schema=…` in YAML or `#:schema …` in TOML. It knows less than
`parse`: patterns of texts and rules between values are not in it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from reconciler.spec.compose import Compose


class _Plain(GenerateJsonSchema):
    """Without the titles that pydantic derives from names; they say nothing that the names do not."""

    def field_title_should_be_set(self, _schema: Any) -> bool:
        """Never."""
        return False

    def generate(self, schema: Any, mode: Any = "validation") -> JsonSchemaValue:
        """The schema of a whole spec."""
        generated = super().generate(schema, mode)
        head = {"$schema": self.schema_dialect, "title": "A spec of reconciler: a Compose document"}
        return {**generated, **head}


def schema() -> JsonSchemaValue:
    """The schema as JSON data."""
    return Compose.model_json_schema(schema_generator=_Plain)


def text() -> str:
    """The schema as it stands in `specs/schema.json`."""
    return json.dumps(schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
