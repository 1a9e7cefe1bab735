"""Headers are looked up as Starlette looks them up, only quicker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from api.frame.request import HeaderLookup

names = st.sampled_from(["host", "content-type", "idempotency-key", "x-é".lower()])
sent = st.lists(st.tuples(names.map(lambda name: name.encode("latin-1")), st.binary(max_size=5)), max_size=6)


@given(sent, st.sampled_from(["Host", "content-type", "Idempotency-Key", "IDEMPOTENCY-KEY", "X-É", "missing"]))
def test_a_header_is_found_whatever_its_case_and_of_several_the_first(raw: list[tuple[bytes, bytes]], name: str) -> None:
    ours, theirs = HeaderLookup(raw), Headers(raw=raw)
    assert ours.get(name) == theirs.get(name)
    assert ours.get(name, "none") == theirs.get(name, "none")
    assert (name in ours) == (name in theirs)
    if name in theirs:
        assert ours[name] == theirs[name]
    else:
        with pytest.raises(KeyError):
            ours[name]


@given(sent)
def test_all_headers_can_be_seen(raw: list[tuple[bytes, bytes]]) -> None:
    theirs = Headers(raw=raw)
    assert dict(HeaderLookup(raw)) == {name: theirs[name] for name in theirs}
    assert len(HeaderLookup(raw)) == len(set(theirs))
