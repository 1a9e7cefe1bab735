"""What a metered entitlement may say beyond its limit: options, which the products declare.

A product whose feature needs more of a plan than a limit subclasses Option beside its other code, and `core/products.py` lists it. An
option is made of plain values, and says of each which values it takes. That is all that plan files, request bodies and the database need
to know, so that none of them knows any particular option.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """A part of an option: a whole number within bounds, or null as well if `nullable`."""

    name: str
    default: int | None
    smallest: int
    largest: int
    meaning: str
    nullable: bool = False

    @property
    def expected(self) -> str:
        """What belongs there, for whoever wrote something else."""
        return f"a whole number from {self.smallest} to {self.largest}{', or null' if self.nullable else ''}"

    def takes(self, value: object) -> bool:
        """Whether the value is such a number."""
        return self.nullable if value is None else isinstance(value, int) and self.smallest <= value <= self.largest


@dataclass(frozen=True, slots=True)
class Switch:
    """A part of an option: true or false."""

    name: str
    default: bool
    meaning: str

    @property
    def expected(self) -> str:
        """As that of a WholeNumber."""
        return "true or false"


@dataclass(frozen=True, slots=True)
class Choice:
    """A part of an option: one of the words of `default`'s kind."""

    name: str
    default: StrEnum
    meaning: str

    @property
    def words(self) -> type[StrEnum]:
        return type(self.default)

    @property
    def expected(self) -> str:
        """As that of a WholeNumber."""
        return f"one of {', '.join(self.words)}"


Part = WholeNumber | Switch | Choice


class Option(ABC):
    """A frozen value that a metered entitlement may carry under the option's name. Its text (`str`) is one line for people."""

    __slots__ = ()

    name: ClassVar[str]
    """The key in an entitlement, in plan files, requests and the database."""

    features: ClassVar[tuple[str, ...]]
    """The features that take it."""

    parts: ClassVar[tuple[Part, ...]]

    meaning: ClassVar[str]
    """What the option is, in one sentence."""

    shape: ClassVar[str]
    """What one looks like in a plan file, for whoever wrote something else."""

    only: ClassVar[str]
    """Why no other feature takes it."""

    absent: ClassVar[str]
    """What holds where the entitlement does not have it."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Of plain values, each one of its part's. A part that is not there has its default, so that what is stored outlives new parts."""
        return cls.of({part.name: values.get(part.name, part.default) for part in cls.parts})

    @classmethod
    @abstractmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Of a plain value for every part."""

    @abstractmethod
    def to_json(self) -> dict[str, int | str | bool | None]:
        """A plain value for every part."""

    @abstractmethod
    def __str__(self) -> str: ...
