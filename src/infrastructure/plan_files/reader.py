"""Plans as code: reads a plan file, and says for every mistake in it where it is and what is expected there."""

import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from core.plans.drafts import (
    EXPECTED_KEY,
    EXPECTED_LIMIT,
    EXPECTED_NAME,
    EXPECTED_WINDOW_MESSAGES,
    EXPECTED_WINDOW_SECONDS,
    WINDOW_MESSAGES_MAX,
    WINDOW_SECONDS_MAX,
    EntitlementDraft,
    MeteredDraft,
    PlanDraft,
    did_you_mean,
    is_key,
    is_name,
)
from core.plans.features import RESOLUTION_MAX, Feature, FeatureCatalog
from core.plans.periods import Reset
from core.plans.plan import Boolean, Enforcement, Static, Window
from infrastructure.plan_files.positions import Document, Location, UnreadableDocument, read_document


class PlanFileError(Exception):
    """A plan file that cannot be used. The message has one line for every mistake: `plans.yaml:12: plans.free.name: expected …`."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        super().__init__("\n".join(mistakes))


@dataclass(frozen=True, slots=True)
class PlanFile:
    """What a plan file holds, in its order."""

    features: tuple[Feature, ...]
    plans: tuple[PlanDraft, ...]


def read_plan_file(path: Path, declared: Iterable[Feature]) -> PlanFile:
    """Reads a plan file whose plans name features of the file itself, and those `declared` elsewhere before.

    Raises PlanFileError with all the mistakes in the file.
    """
    reader = _Reader(_read_document(path), FeatureCatalog(declared))
    plan_file = reader.plan_file()
    if reader.mistakes:
        raise PlanFileError(f"{path}:{line}: {mistake}" for line, mistake in sorted(reader.mistakes, key=lambda found: found[0]))
    return plan_file


def _read_document(path: Path) -> Document:
    try:
        return read_document(path.read_bytes())
    except OSError as error:
        raise PlanFileError([f"{path}: expected a readable file: {error.strerror}"]) from error
    except UnreadableDocument as error:
        raise PlanFileError([f"{path}:{error}"]) from error


class _Part(BaseModel):
    """A mapping in a plan file. `shape` says what it looks like, and the description of each field what is expected there."""

    model_config = ConfigDict(extra="forbid", strict=True)

    shape: ClassVar[str]


PartT = TypeVar("PartT", bound=_Part)


class _File(_Part):
    shape = "a mapping with 'features' and 'plans'"

    # Left empty where every feature is commented out.
    features: Annotated[dict[str, object], BeforeValidator(lambda value: {} if value == "" else value)] = Field(
        default={}, description="a mapping of features by key"
    )
    plans: dict[str, object] = Field(min_length=1, description="a mapping of at least one plan by key")


class _Feature(_Part):
    shape = "a feature such as {unit: call}"

    unit: str = Field(description=EXPECTED_NAME)
    resolution: Decimal = Field(
        default=Decimal(1), ge=1, le=RESOLUTION_MAX, multiple_of=1, description=f"a whole number from 1 to {RESOLUTION_MAX}"
    )


class _Plan(_Part):
    shape = "a plan such as {entitlements: {sessions: {type: metered, limit: 10}}}"

    name: str | None = Field(default=None, description=EXPECTED_NAME)
    entitlements: dict[str, object] = Field(description="a mapping of entitlements by feature")


class _Entitlement(_Part):
    """What is read where the type is not one of those that follow, so that the mistake is reported."""

    model_config = ConfigDict(extra="ignore")

    shape = "an entitlement such as {type: metered, limit: 10}"

    type: Literal["metered", "static", "boolean"] = Field(description="one of metered, static, boolean")


class _Metered(_Part):
    type: Literal["metered"]
    limit: Decimal | None = Field(description=EXPECTED_LIMIT)
    reset: Reset = Field(default=Reset.BILLING_PERIOD, strict=False, description=f"one of {', '.join(Reset)}")
    enforcement: Enforcement = Field(default=Enforcement.HARD, strict=False, description=f"one of {', '.join(Enforcement)}")
    window: object = Field(default=None, description="a mapping such as {length_seconds: 86400}")


class _Window(_Part):
    shape = "a window such as {length_seconds: 86400, extending: true, messages_max: null}"

    length_seconds: Decimal = Field(
        default=Decimal(24 * 3600), ge=1, le=WINDOW_SECONDS_MAX, multiple_of=1, description=EXPECTED_WINDOW_SECONDS
    )
    extending: bool = Field(default=True, description="true or false")
    messages_max: Decimal | None = Field(default=None, ge=1, le=WINDOW_MESSAGES_MAX, multiple_of=1, description=EXPECTED_WINDOW_MESSAGES)


class _Static(_Part):
    type: Literal["static"]
    value: Decimal = Field(description="a number")


class _Boolean(_Part):
    type: Literal["boolean"]
    enabled: bool = Field(description="true or false")


class _Reader:
    """Reads a document part by part, so that no mistake hides another. Each is collected with its line."""

    def __init__(self, document: Document, catalog: FeatureCatalog) -> None:
        self._document = document
        self._catalog = catalog
        self._unclear: set[str] = set()  # features whose own declaration has a mistake, so that the meaning of their limits is not known
        self.mistakes = [
            (duplicate.line, f"{_dotted(duplicate.location)}: expected only once, and is on line {duplicate.first_line} already")
            for duplicate in document.duplicates
        ]

    def plan_file(self) -> PlanFile:
        """All that could be read. Features come first, since plans name them."""
        root = self._document.data
        self._read(_File, root, ())
        features = [self._feature(key, value) for key, value in _entries(root, "features")]
        plans = [self._plan(key, value) for key, value in _entries(root, "plans")]
        return PlanFile(tuple(feature for feature in features if feature), tuple(plans))

    def _feature(self, key: str, value: object) -> Feature | None:
        location = ("features", key)
        if not is_key(key):
            self._add(location, f"expected {EXPECTED_KEY}")
        part = self._read(_Feature, value, location)
        if part is None:
            self._unclear.add(key)
            return None
        feature = Feature(key, part.unit, int(part.resolution))
        if not is_name(feature.unit):
            self._add((*location, "unit"), f"expected {EXPECTED_NAME}, got {_shown(feature.unit)}")
        known = self._catalog.get(key)
        if known is None:
            self._catalog.add(feature)
        elif known != feature:
            self._add(location, f"expected {_declaration(known)}, as it is declared already, got {_declaration(feature)}")
        return feature

    def _plan(self, key: str, value: object) -> PlanDraft:
        location = ("plans", key)
        part = self._read(_Plan, value, location)
        entitlements: dict[str, EntitlementDraft] = {}
        for feature, inner in _entries(value, "entitlements"):
            entitlement = self._entitlement(inner, (*location, "entitlements", feature))
            if feature not in self._unclear:
                entitlements[feature] = entitlement
        draft = PlanDraft(key, key if part is None or part.name is None else part.name, entitlements)
        for mistake in draft.mistakes(self._catalog):
            self._add((*location, *mistake.location), mistake.expected)
        return draft

    def _entitlement(self, value: object, location: Location) -> EntitlementDraft:
        """Where one cannot be read, its mistake is kept and a stand-in of its type returned, so that feature and limit are checked too.

        A stand-in never leaves this module: its mistake keeps the file from being read.
        """
        match value:
            case {"type": "metered", **fields}:
                metered = self._read(_Metered, value, location)
                window = self._window(fields.get("window"), (*location, "window"))
                if metered:
                    return MeteredDraft(limit=metered.limit, reset=metered.reset, enforcement=metered.enforcement, window=window)
                limit = fields.get("limit")
                return MeteredDraft(limit if isinstance(limit, Decimal) else Decimal(0))
            case {"type": "static"}:
                static = self._read(_Static, value, location)
                return Static(static.value if static else Decimal(0))
            case {"type": "boolean"}:
                boolean = self._read(_Boolean, value, location)
                return Boolean(enabled=boolean is not None and boolean.enabled)
            case _:
                self._read(_Entitlement, value, location)
                return MeteredDraft(Decimal(0)) if self._catalog.get(location[-1]) else Boolean(enabled=False)

    def _window(self, value: object, location: Location) -> Window | None:
        part = None if value is None else self._read(_Window, value, location)
        if part is None:
            return None
        return Window(
            timedelta(seconds=int(part.length_seconds)), part.extending, None if part.messages_max is None else int(part.messages_max)
        )

    def _read(self, part: type[PartT], value: object, location: Location) -> PartT | None:
        try:
            return part.model_validate(value)
        except ValidationError as error:
            for details in error.errors(include_url=False):
                self._add((*location, *map(str, details["loc"])), _expected(part, details))
            return None

    def _add(self, location: Location, expected: str) -> None:
        path = f"{_dotted(location)}: " if location else ""
        self.mistakes.append((self._document.line_of(location), path + expected))


def _entries(value: object, name: str) -> Iterable[tuple[str, object]]:
    """The entries of a mapping within a mapping. Where it is not a mapping, `_read` has already reported that."""
    inner = value.get(name) if isinstance(value, dict) else None
    return inner.items() if isinstance(inner, dict) else ()


def _expected(part: type[_Part], error: ErrorDetails) -> str:
    """What is expected where pydantic found something else, in the words of the part and not of the library."""
    if not error["loc"]:
        return f"expected {part.shape}, got {_shown(error['input'])}"
    name, fields = str(error["loc"][0]), part.model_fields
    if error["type"] == "extra_forbidden":
        return f"unknown field, expected one of {', '.join(fields)}{did_you_mean(name, fields)}"
    given = "nothing" if error["type"] == "missing" else _shown(error["input"])
    return f"expected {fields[name].description}, got {given}"


def _shown(value: object) -> str:
    match value:
        case "":
            return "nothing"
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Decimal():
            return str(value)
        case str():
            return reprlib.repr(value)
        case list():
            return "a list"
        case _:
            return "a mapping" if value else "an empty mapping"


def _declaration(feature: Feature) -> str:
    return f"{{unit: {feature.unit}, resolution: {feature.resolution}}}"


def _dotted(location: Location) -> str:
    return ".".join(key if key.isprintable() else repr(key) for key in location)
