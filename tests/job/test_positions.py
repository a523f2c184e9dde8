"""The position index agrees with the standard reader on every valid TOML text."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.job.positions import Index, Lines, string_end, too_deep

EXAMPLE = '''# a comment with "quotes" and [brackets]
title = "a # no comment"
"quoted key".'another one' = 'C:\\no escapes'
point = { x = 1, y.z = [1, 2, { w = "}" }] }
text = """
two "lines" = [no, array]\\
   \\"""still inside"""""
raw = \'\'\'it's''fine\'\'\'
when = 1979-05-27 07:32:00
array = [ # a comment, with a comma
  "one", # another ]
  'two',
]

[table.sub] # comment
a.b.c = true
a.d = -inf

[[many]]
name = "first"
[[many]]
name = "second"
[many.inner]
deep = 0x1F
[[many.rows]]
k = 1
[[many.rows]]
k = 2
[table]
late = 1e-3
'''


def leaves(tree: Any, path: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], Any]:
    """Every value that is not a table or an array, by path."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else None
    if items is None:
        return {path: tree}
    return {k: v for key, inner in items for k, v in leaves(inner, (*path, key)).items()}


def check(text: str) -> None:
    """Each leaf stands where the index says, and the text there reads as the leaf."""
    tree, index = tomllib.loads(text), Index(text).read()
    for path, leaf in leaves(tree).items():
        mark = index.marks[path]
        again = tomllib.loads(f"v = {text[mark.start : mark.end]}")["v"]
        assert again == leaf, path
        for n in range(1, len(path)):
            assert path[:n] in index.marks
    assert {p[0] for p in index.marks} == set(tree)


def test_all_kinds_of_keys_and_values() -> None:
    check(EXAMPLE)
    marks, lines = Index(EXAMPLE).read().marks, Lines(EXAMPLE)
    assert lines(marks["many", 1, "name"].start) == (22, 8)
    assert lines(marks["many", 1, "inner", "deep"].key) == (24, 1)
    assert lines(marks["table", "sub", "a", "d"].start) == (17, 7)
    assert lines(marks["table",].key) == (29, 1), "the table's own header, not that of its child"
    assert lines(marks["point", "y", "z", 2, "w"].start) == (4, 37)


def test_crlf_is_left_to_the_reader() -> None:
    check(EXAMPLE.replace("\r\n", "\n"))


keys = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=6) | st.sampled_from(
    ["a", "b", "c-d", "e_1", "1"]
)
scalars = (
    st.booleans().map(lambda v: str(v).lower())
    | st.integers(-9, 9**9).map(str)
    | st.floats(allow_nan=False).map(lambda v: "inf" if v == float("inf") else repr(v))
    | st.text(max_size=8).map(lambda t: json.dumps(t, ensure_ascii=True))
    | st.text(st.sampled_from("ab\n\"' #[]{}=,\\"), max_size=8).map(
        lambda t: '"""' + t.replace("\\", "\\\\").replace('"""', '""\\"') + '\\u0020"""'
    )
    | st.text(st.sampled_from('ab" #[]{}=,\\'), max_size=8).map(lambda t: f"'{t}'")
    | st.sampled_from(["1979-05-27T07:32:00Z", "1979-05-27 07:32:00.5", "07:32:00", "1979-05-27", "0xff", "1_000"])
).filter(lambda text: _reads(text))
space = st.sampled_from(["", " ", "  ", "\t"])
blank = st.sampled_from(["", " ", "\n", " # ] } x\n", "\n\n\t"])


def _reads(text: str) -> bool:
    try:
        tomllib.loads(f"v = {text}")
    except ValueError:
        return False
    return True


def name(key: str) -> str:
    bare = key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key)
    return key if bare else json.dumps(key, ensure_ascii=True)


@st.composite
def arrays(draw: Any, inner: Any) -> str:
    parts = draw(st.lists(inner, max_size=3))
    body = ",".join(draw(blank) + part + draw(blank) for part in parts)
    tail = "," if parts and draw(st.booleans()) else ""
    return "[" + body + tail + draw(blank) + "]"


@st.composite
def inline_tables(draw: Any, inner: Any) -> str:
    parts = draw(st.dictionaries(keys, inner, max_size=3))
    return "{" + ",".join(f"{draw(space)}{name(k)}{draw(space)}={draw(space)}{v} " for k, v in parts.items()) + "}"


values = st.recursive(scalars, lambda inner: arrays(inner) | inline_tables(inner), max_leaves=6)


@st.composite
def documents(draw: Any) -> str:
    lines = []
    for key, value in draw(st.dictionaries(keys, values, max_size=3)).items():
        lines.append(f"{draw(space)}{name(key)}{draw(space)}={draw(space)}{value}{draw(space)}# c")
    for i, body in enumerate(draw(st.lists(st.dictionaries(keys, values, max_size=3), max_size=4))):
        kind = draw(st.sampled_from(["[t{i}.x]", "[ 't {i}' . y ]", "[[many]]", "[[ many ]]", "[[deep.many]]"]))
        lines.append(kind.format(i=i))
        lines += [f"{name(k)} . p = {v}" if draw(st.booleans()) else f"{name(k)} = {v}" for k, v in body.items()]
    return "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n# end"]))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(documents())
def test_agrees_with_the_reader(text: str) -> None:
    try:
        tomllib.loads(text)
    except ValueError:
        return  # two keys of the same name: not valid
    check(text)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(st.sampled_from("ab=.[]{}\"'\\\n #,0"), max_size=40))
def test_broken_texts_only_end_the_scan(text: str) -> None:
    Index(text).read_prefix()
    too_deep(text, 3)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ('"a" x', " x"),
        (r'"a\"b" x', " x"),
        ('"a\nb"', 'b"'),
        ("'a\\' x", " x"),
        ('"""a"""""" x', '" x'),
        ('"""a\\"""b""" x', " x"),
        ("'''a''b''' x", " x"),
        ('"""open', ""),
        ('"" x', " x"),
    ],
)
def test_end_of_strings(text: str, rest: str) -> None:
    assert text[string_end(text, 0) :] == rest


def test_depth_is_found_before_parsing() -> None:
    assert too_deep("a = [[[1]]]", 3) is None
    assert too_deep("a = [[[[1]]]]", 3) == 7
    assert too_deep("a.b.c.d.e = 1", 3) == 7
    assert too_deep('a = "[[[[["\n# [[[[[\nb = 1.5\nc = [1.0, 2.0, 3.0, 4.0, 5.0]', 3) is None
