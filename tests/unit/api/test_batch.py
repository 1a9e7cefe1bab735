"""Items of a batch are judged one by one."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from api.v1.bulk import BatchBody, BatchItem, Malformed

BODY: TypeAdapter[BatchBody] = TypeAdapter(BatchBody)
GOOD: dict[str, Any] = {"customer_id": "me", "usage": [{"feature": "calls", "quantity": 1}]}

values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.sampled_from([[], {}, [1], {"a": 1}, [GOOD]])
)
items = st.one_of(
    values, st.just(GOOD), st.tuples(st.sampled_from([*GOOD, "mode", "extra"]), values).map(lambda change: {**GOOD, change[0]: change[1]})
)


def test_an_item_that_is_no_object_gets_what_a_request_without_one_gets() -> None:
    (item,) = BODY.validate_json(b'{"items": [7]}').items
    message = "A JSON object is expected, sent with Content-Type: application/json"
    assert item == Malformed({"detail": [{"type": "model_attributes_type", "loc": [], "msg": message}]})


def test_a_malformed_item_does_not_keep_its_neighbours_from_being_read() -> None:
    first, second, third = BODY.validate_python({"items": [GOOD, {"customer_id": "me"}, GOOD]}).items
    assert isinstance(second, Malformed)
    assert isinstance(first, BatchItem)
    assert first == third


@given(st.lists(items, min_size=1, max_size=4))
def test_what_is_told_of_an_item_does_not_depend_on_who_reads_the_json(found: list[Any]) -> None:
    content = json.dumps({"items": found})
    assert repr(BODY.validate_json(content)) == repr(BODY.validate_python(json.loads(content), from_attributes=True))
