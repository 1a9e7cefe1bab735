"""Plans as code: reads a plan file, and says for every mistake in it where it is and what is expected there."""

import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from core.metering.event_types import METERS_MAX, EventMeter, EventType
from core.plans.drafts import EXPECTED_KEY, EXPECTED_NAME, EntitlementDraft, MeteredDraft, PlanDraft, did_you_mean, is_key, is_name
from core.plans.features import Feature, FeatureCatalog
from core.plans.on_outage import OnOutage
from core.plans.options import Option
from core.plans.plan import Boolean, Static
from core.plans.rollover import RolloverDraft
from core.text import SHORT_LABEL_LENGTH_MAX, is_label
from infrastructure.plan_files.parts import (
    BooleanPart,
    EntitlementPart,
    FeaturePart,
    FilePart,
    MeterPart,
    PlanPart,
    RolloverPart,
    StaticPart,
    WholeFile,
    metered_part,
    option_part,
)
from infrastructure.plan_files.positions import Document, Location, UnreadableDocument, read_document

PartT = TypeVar("PartT", bound=FilePart)


class PlanFileError(Exception):
    """A plan file that cannot be used. The message has one line for every mistake: `plans.yaml:12: plans.free.name: expected …`."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        super().__init__("\n".join(mistakes))


@dataclass(frozen=True, slots=True)
class PlanFile:
    """What a plan file holds, in its order."""

    features: tuple[Feature, ...]
    plans: tuple[PlanDraft, ...]
    event_types: tuple[EventType, ...] = ()
    on_outage: Mapping[str, OnOutage] = field(default_factory=dict)


def read_plan_file(path: Path, declared: Iterable[Feature], options: Iterable[type[Option]]) -> PlanFile:
    """Reads a plan file whose plans name features of the file itself, and those `declared` elsewhere before.

    `options`: those that its metered entitlements may carry. Raises PlanFileError with all the mistakes in the file.
    """
    reader = _Reader(_read_document(path), FeatureCatalog(declared), options)
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


class _Reader:
    """Reads a document part by part, so that no mistake hides another. Each is collected with its line."""

    def __init__(self, document: Document, catalog: FeatureCatalog, options: Iterable[type[Option]]) -> None:
        self._document = document
        self._catalog = catalog
        self._options = {option: option_part(option) for option in options}
        self._metered = metered_part(self._options)
        self._on_outage: dict[str, OnOutage] = {}
        self._unclear: set[str] = set()  # features whose declaration is itself mistaken: what a limit of them means is not known
        self.mistakes = [
            (duplicate.line, f"{_dotted(duplicate.location)}: expected only once, and is on line {duplicate.first_line} already")
            for duplicate in document.duplicates
        ]

    def plan_file(self) -> PlanFile:
        """All that could be read. Features come first, since plans name them."""
        root = self._document.data
        self._read(WholeFile, root, ())
        features = [self._feature(key, value) for key, value in _entries(root, "features")]
        plans = [self._plan(key, value) for key, value in _entries(root, "plans")]
        types = [self._event_type(key, value) for key, value in _entries(root, "meters")]
        return PlanFile(tuple(feature for feature in features if feature), tuple(plans), tuple(types), self._on_outage)

    def _feature(self, key: str, value: object) -> Feature | None:
        location = ("features", key)
        if not is_key(key):
            self._add(location, f"expected {EXPECTED_KEY}")
        part = self._read(FeaturePart, value, location)
        if part is None:
            self._unclear.add(key)
            return None
        known = self._catalog.get(key)
        unit, resolution = part.unit, int(part.resolution)
        if unit is None and known is not None:
            unit, resolution = known.unit, resolution if "resolution" in part.model_fields_set else known.resolution
        if unit is None:
            self._add((*location, "unit"), f"expected {EXPECTED_NAME}, got nothing")
            self._unclear.add(key)
            return None
        feature = Feature(key, unit, resolution)
        if not is_name(feature.unit):
            self._add((*location, "unit"), f"expected {EXPECTED_NAME}, got {_shown(feature.unit)}")
        if part.on_outage is not None:
            self._on_outage[key] = part.on_outage
        if known is None:
            self._catalog.add(feature)
        elif known != feature:
            self._add(location, f"expected {_declaration(known)}, as it is declared already, got {_declaration(feature)}")
        return feature

    def _event_type(self, key: str, value: object) -> EventType:
        location = ("meters", key)
        if not (0 < len(key) <= SHORT_LABEL_LENGTH_MAX and is_label(key)):
            self._add(location, f"expected an event type of 1 to {SHORT_LABEL_LENGTH_MAX} characters")
        if not isinstance(value, list) or len(value) > METERS_MAX:
            self._add(location, f"expected a list of at most {METERS_MAX} meters, got {_shown(value)}")
            return EventType(key, ())
        meters = []
        for place, item in enumerate(value):
            where = (*location, str(place))
            part = self._read(MeterPart, item, where)
            if part is None:
                continue
            if self._catalog.get(part.feature) is None and part.feature not in self._unclear:
                known = did_you_mean(part.feature, (feature.key for feature in self._catalog))
                self._add((*where, "feature"), f"expected a declared feature, got {_shown(part.feature)}{known}")
            meters.append(EventMeter(part.feature, part.quantity, part.dimension))
        return EventType(key, tuple(meters))

    def _plan(self, key: str, value: object) -> PlanDraft:
        location = ("plans", key)
        part = self._read(PlanPart, value, location)
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
                metered = self._read(self._metered, value, location)
                options, rollover = self._options_in(fields, location), self._rollover_in(fields, location)
                if metered:
                    alerts = None if metered.alerts is None else tuple(map(int, metered.alerts))
                    return MeteredDraft(metered.limit, metered.reset, metered.enforcement, options, rollover, alerts)
                limit = fields.get("limit")
                return MeteredDraft(limit if isinstance(limit, Decimal) else Decimal(0))
            case {"type": "static"}:
                static = self._read(StaticPart, value, location)
                return Static(static.value if static else Decimal(0))
            case {"type": "boolean"}:
                boolean = self._read(BooleanPart, value, location)
                return Boolean(enabled=boolean is not None and boolean.enabled)
            case _:
                self._read(EntitlementPart, value, location)
                return MeteredDraft(Decimal(0)) if self._catalog.get(location[-1]) else Boolean(enabled=False)

    def _rollover_in(self, fields: Mapping[object, object], location: Location) -> RolloverDraft | None:
        value = fields.get("rollover")
        read = None if value is None else self._read(RolloverPart, value, (*location, "rollover"))
        return None if read is None else RolloverDraft(read.max, int(read.periods))

    def _options_in(self, fields: Mapping[object, object], location: Location) -> tuple[Option, ...]:
        options = []
        for option, part in self._options.items():
            value = fields.get(option.name)
            read = None if value is None else self._read(part, value, (*location, option.name))
            if read:
                options.append(option.from_json(dict(read)))
        return tuple(options)

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


def _expected(part: type[FilePart], error: ErrorDetails) -> str:
    """What belongs where pydantic found something else, in the words of the part and not of the library."""
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
