"""What all models of the Compose document have in common: no unknown keys, and `x-` keys are dropped. See `compose`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

from reconciler.spec import refusals


class Model(BaseModel):
    """A mapping of the document. `refused`: keys that Compose knows and we do not do yet, with the reason."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"patternProperties": {"^x-": {}}}, use_attribute_docstrings=True
    )
    refused: ClassVar[refusals.Reasons] = {}

    @classmethod
    def written(cls) -> frozenset[str]:
        """What may be written, as it is written."""
        return frozenset(entry.alias or name for name, entry in cls.model_fields.items())

    @model_validator(mode="before")
    @classmethod
    def _drop_extensions(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {key: item for key, item in value.items() if not key.startswith("x-") or key in cls.written()}
