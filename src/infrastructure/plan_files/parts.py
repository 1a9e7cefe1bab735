"""What a plan file is made of, and which forms each part of it takes."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from core.metering.event_types import EXPECTED_PATH, is_path
from core.plans.alerts import EXPECTED_ALERTS, PERCENT_MAX, THRESHOLDS_MAX
from core.plans.drafts import EXPECTED_LIMIT, EXPECTED_NAME
from core.plans.features import RESOLUTION_MAX
from core.plans.on_outage import OnOutage
from core.plans.options import Choice, Option, Part, Switch, WholeNumber
from core.plans.periods import Reset
from core.plans.plan import Enforcement
from core.plans.rollover import EXPECTED_PERIODS, PERIODS_MAX


def _path(text: str) -> str:
    if not is_path(text):
        raise ValueError(f"{EXPECTED_PATH} is expected")
    return text


def _quantity(value: object) -> Decimal | str:
    match value:
        case Decimal() if value.is_finite() and value >= 0:
            return value
        case str():
            return _path(value)
        case _:
            raise ValueError("neither a quantity nor a path")


class FilePart(BaseModel):
    """A mapping in a plan file. `shape` says what it looks like; the description of each field, what belongs there."""

    model_config = ConfigDict(extra="forbid", strict=True)

    shape: ClassVar[str]


class WholeFile(FilePart):
    """The file itself."""

    shape = "a mapping with 'features' and 'plans'"

    # Left empty where every feature is commented out.
    features: Annotated[dict[str, object], BeforeValidator(lambda value: {} if value == "" else value)] = Field(
        default={}, description="a mapping of features by key"
    )
    meters: Annotated[dict[str, object], BeforeValidator(lambda value: {} if value == "" else value)] = Field(
        default={}, description="a mapping of event types to lists of meters"
    )
    plans: dict[str, object] = Field(min_length=1, description="a mapping of at least one plan by key")


class FeaturePart(FilePart):
    """A declared feature. One that is declared already, such as a product's own, may leave its unit out."""

    shape = "a feature such as {unit: call}"

    unit: str | None = Field(default=None, description=EXPECTED_NAME)
    resolution: Decimal = Field(
        default=Decimal(1), ge=1, le=RESOLUTION_MAX, multiple_of=1, description=f"a whole number from 1 to {RESOLUTION_MAX}"
    )
    on_outage: OnOutage | None = Field(default=None, strict=False, description=f"one of {', '.join(OnOutage)}")


class MeterPart(FilePart):
    """One feature that events of a type count towards."""

    shape = "a meter such as {feature: tokens, quantity: data.usage.total}"

    feature: str = Field(description="a declared feature")
    quantity: Annotated[Any, BeforeValidator(_quantity)] = Field(
        default=Decimal(1), description=f"a number of at least 0, or {EXPECTED_PATH}"
    )
    dimension: Annotated[str, AfterValidator(_path)] | None = Field(default=None, description=EXPECTED_PATH)


class PlanPart(FilePart):
    """A plan."""

    shape = "a plan such as {entitlements: {sessions: {type: metered, limit: 10}}}"

    name: str | None = Field(default=None, description=EXPECTED_NAME)
    entitlements: dict[str, object] = Field(description="a mapping of entitlements by feature")


class EntitlementPart(FilePart):
    """What is read where the type is none of those that follow, so as to say so."""

    model_config = ConfigDict(extra="ignore")

    shape = "an entitlement such as {type: metered, limit: 10}"

    type: Literal["metered", "static", "boolean"] = Field(description="one of metered, static, boolean")


class MeteredPart(FilePart):
    """A metered entitlement without options: see `metered_part`."""

    type: Literal["metered"]
    limit: Decimal | None = Field(description=EXPECTED_LIMIT)
    reset: Reset = Field(default=Reset.BILLING_PERIOD, strict=False, description=f"one of {', '.join(Reset)}")
    enforcement: Enforcement = Field(default=Enforcement.HARD, strict=False, description=f"one of {', '.join(Enforcement)}")
    rollover: object = Field(default=None, description="a rollover such as {max: 50, periods: 2}")
    alerts: list[Annotated[Decimal, Field(ge=1, le=PERCENT_MAX, multiple_of=1)]] | None = Field(
        default=None, max_length=THRESHOLDS_MAX, description=EXPECTED_ALERTS
    )


class RolloverPart(FilePart):
    """What of the allowance outlives its period."""

    shape = "a rollover such as {max: 50, periods: 2}"

    max: Decimal | None = Field(default=None, description=EXPECTED_LIMIT)
    periods: Annotated[Decimal, Field(ge=1, le=PERIODS_MAX, multiple_of=1)] = Field(default=Decimal(1), description=EXPECTED_PERIODS)


class StaticPart(FilePart):
    """A static entitlement."""

    type: Literal["static"]
    value: Decimal = Field(description="a number")


class BooleanPart(FilePart):
    """A boolean entitlement."""

    type: Literal["boolean"]
    enabled: bool = Field(description="true or false")


def metered_part(options: Iterable[type[Option]]) -> type[MeteredPart]:
    """A metered entitlement that takes these options, each of which is read as a part of its own."""
    fields: dict[str, Any] = {option.name: (object, None) for option in options}
    return create_model("MeteredPart", __base__=MeteredPart, **fields)


def option_part(option: type[Option]) -> type[FilePart]:
    """How the option is read: its parts, by name."""
    fields: dict[str, Any] = {part.name: _field(part) for part in option.parts}
    read_as = create_model(f"{option.__name__}Part", __base__=FilePart, **fields)
    read_as.shape = option.shape
    return read_as


def _field(part: Part) -> tuple[Any, Any]:
    match part:
        case WholeNumber():
            whole = Annotated[Decimal, Field(ge=part.smallest, le=part.largest, multiple_of=1), AfterValidator(int)]
            return (whole | None if part.nullable else whole), Field(part.default, description=part.expected)
        case Switch():
            return bool, Field(part.default, description=part.expected)
        case Choice():
            return part.words, Field(part.default, strict=False, description=part.expected)
