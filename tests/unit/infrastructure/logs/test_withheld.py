"""Errors in the log: their kind and their place, and nothing of what callers sent."""

import asyncpg
import pytest
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import IntegrityError

from infrastructure.logs.withheld import described, traced

SECRET = "anna@example.org"


def violation() -> asyncpg.UniqueViolationError:
    error = asyncpg.UniqueViolationError(f"duplicate key value: Key (customer_id)=({SECRET})")
    error.constraint_name = "pk_customer"
    return error


def wrapped() -> IntegrityError:
    origin = Exception(SECRET)
    origin.__cause__ = violation()
    return IntegrityError(f"INSERT {SECRET}", {"id": SECRET}, origin)


def invalid() -> ValidationError:
    try:
        TypeAdapter(int).validate_python(SECRET)
    except ValidationError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    "error", [violation(), wrapped(), invalid(), KeyError(SECRET), ValueError(SECRET), FileNotFoundError(2, "no", SECRET)]
)
def test_what_may_carry_values_is_left_out(error: Exception) -> None:
    assert SECRET not in described(error)
    assert SECRET not in traced(error)


@pytest.mark.parametrize("error", [violation(), wrapped()])
def test_of_postgresql_the_state_and_the_constraint_are_told(error: Exception) -> None:
    assert described(error).endswith("(SQLSTATE 23505, constraint pk_customer)")


def test_what_python_says_of_code_and_the_system_of_itself_is_told() -> None:
    assert described(TypeError("a() takes 1 argument")) == "TypeError (a() takes 1 argument)"
    assert described(ConnectionRefusedError(111, "Connection refused")) == "ConnectionRefusedError (Connection refused)"


def test_a_trace_has_causes_first_and_the_places_of_both() -> None:
    def fails() -> None:
        raise KeyError(SECRET)

    try:
        try:
            fails()
        except KeyError as cause:
            raise RuntimeError(SECRET) from cause
    except RuntimeError as error:
        trace = traced(error)

    assert trace.index("KeyError") < trace.index("direct cause") < trace.rindex("RuntimeError")
    assert "in fails" in trace
    assert SECRET not in trace


def test_each_error_of_a_group_is_told_and_a_circle_ends() -> None:
    one = ValueError(SECRET)
    two = RuntimeError()
    one.__context__, two.__context__ = two, one
    trace = traced(ExceptionGroup("several", [one, TypeError("x")]))
    assert "  | ValueError" in trace
    assert "  | TypeError (x)" in trace
