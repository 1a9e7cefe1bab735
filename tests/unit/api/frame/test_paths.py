"""Paths are taken apart before they are decoded, so that an id may have a slash in it."""

import re
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.frame.paths import Template, segments_of
from tests.unit.api.frame.exchange import Exchange

TEMPLATES = ("/", "/a", "/a/{x}", "/{x}", "/a/{x}/b", "/{x}/{y}", "/a/b", "/a/{x}/{y}/b", "/{x}/b/{y}")

segments = st.one_of(
    st.sampled_from(["", "a", "b", "%61", "%2F", "a%2Fb", "%ff", "%C3%A9", "%ED%A0%80", "%", "%zz", "%2", "%00", ".", "%25", "x"]),
    st.text(max_size=5).map(lambda text: quote(text, safe="")),
)
paths = st.lists(segments, max_size=5).map(lambda parts: "/" + "/".join(parts))


def values(template: str, path: str) -> dict[str, str] | None:
    found = Template(template).values(segments_of(Exchange(target=path).scope))
    return None if found is None else dict(found)


def plainly(template: str, path: str) -> dict[str, str] | None:
    """The same by a regular expression on the path as it was sent, its fixed parts in any spelling; the slow way."""
    pattern = "".join(
        "([^/]+)" if part.startswith("{") else "([^/]*)" if part != "/" else "/" for part in re.split("(/)", template) if part
    )
    names = [part for part in template.split("/") if part]
    matched = re.fullmatch(pattern, path)
    if not matched:
        return None
    found = {}
    for name, text in zip(names, matched.groups(), strict=True):
        content = unquote_to_bytes(text)
        if not name.startswith("{"):
            if content != name.encode():
                return None
            continue
        try:
            found[name[1:-1]] = content.decode()
        except UnicodeDecodeError:
            return None
    return found


@given(st.sampled_from(TEMPLATES), paths)
def test_a_template_takes_what_a_regular_expression_takes(template: str, path: str) -> None:
    assert values(template, path) == plainly(template, path)


@given(st.sampled_from(TEMPLATES), st.sampled_from(TEMPLATES), paths)
def test_templates_that_take_the_same_path_overlap(one: str, other: str, path: str) -> None:
    assert Template(one).overlaps(Template(other)) or values(one, path) is None or values(other, path) is None


@pytest.mark.parametrize(("one", "other"), [("/a/{x}", "/b/{x}"), ("/a", "/a/{x}"), ("/a/{x}/b", "/a/{x}/c")])
def test_templates_that_take_no_path_in_common_do_not_overlap(one: str, other: str) -> None:
    assert not Template(one).overlaps(Template(other))


@given(st.lists(st.text(min_size=1, max_size=10), min_size=2, max_size=2))
def test_whatever_text_is_encoded_in_a_segment_is_the_value(texts: list[str]) -> None:
    x, y = texts
    assert values("/a/{x}/{y}", f"/a/{quote(x, safe='')}/{quote(y, safe='')}") == {"x": x, "y": y}


@pytest.mark.parametrize("path", ["/a", "/a/", "/a//b", "/a/%2F/", "//a/x/b", "/a/x/b/", "/a/x/B", "/a/x%2Fb"])
def test_what_only_looks_like_the_path_is_another_one(path: str) -> None:
    assert values("/a/{x}/b", path) is None


@pytest.mark.parametrize("bytes_of_no_text", ["%ff", "%C3", "%ED%A0%80", "a%80"])
def test_a_segment_that_is_not_utf_8_is_the_name_of_nothing(bytes_of_no_text: str) -> None:
    assert values("/a/{x}", f"/a/{bytes_of_no_text}") is None


def test_without_the_raw_path_the_decoded_one_has_to_do() -> None:
    scope = Exchange(target="/a/%C3%A9").scope
    del scope["raw_path"]
    assert segments_of(scope) == [b"", b"a", "é".encode()]


@pytest.mark.parametrize(
    ("root_path", "path", "expected"),
    [
        ("", "/a/b", ["", "a", "b"]),
        ("/root", "/root/a/b", ["", "a", "b"]),
        ("/root/two", "/root/two/a", ["", "a"]),
        ("/root", "/root", [""]),
        ("/root", "/rooted/a", ["", "rooted", "a"]),  # a prefix of the text, and not of the path
        ("/root", "/a/b", ["", "a", "b"]),  # a proxy has taken the prefix away already
    ],
)
def test_the_prefix_under_which_the_app_is_served_is_no_part_of_its_paths(root_path: str, path: str, expected: list[str]) -> None:
    scope = Exchange(target=path).scope | {"root_path": root_path}
    assert [segment.decode() for segment in segments_of(scope)] == expected


@pytest.mark.parametrize("path", ["/a/{x:path}", "/a/{x:int}", "/a/{x}.json", "/a/v{x}"])
def test_a_path_with_more_than_whole_segments_is_not_plain(path: str) -> None:
    assert not Template(path).is_plain


@pytest.mark.parametrize("path", TEMPLATES)
def test_other_paths_are_plain(path: str) -> None:
    assert Template(path).is_plain
