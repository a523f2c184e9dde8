"""Tables are read by the annotations of any frozen dataclass: the models of others are never named here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from hpcms.contracts import Unit
from hpcms.errors import BadInput
from hpcms.job.fields import INVALID, table
from hpcms.job.problems import Problems


@dataclass(frozen=True)
class Creep:
    n: float = 3.0
    A: Annotated[float, Unit("Pa^-n s^-1", above=0)] = field(kw_only=True)


@dataclass(frozen=True)
class Phase:
    modulus: Annotated[float, Unit("Pa", least=0)] = 0.0
    ratio: Annotated[float, Unit("", above=-1, below=0.5)] = 0.0
    creep: Creep | None = None


@dataclass(frozen=True)
class Wave:
    mean: Annotated[float, Unit("K", above=0)]
    amplitude: Annotated[float, Unit("K")] = 0.0


@dataclass(frozen=True)
class Ball:
    radius: Annotated[float, Unit("m", above=0)]
    shape: Literal["ball"] = "ball"


@dataclass(frozen=True)
class Box:
    edges: Annotated[tuple[float, float], Unit("m", above=0)]
    shape: Literal["box"] = "box"


@dataclass(frozen=True)
class Model:
    phases: dict[str, Phase]
    load: Annotated[float, Unit("K", above=0)] | Wave = 273.15
    body: Annotated[Ball | Box, Field(discriminator="shape")] | None = None
    mode: Literal["fast", "safe"] = "safe"
    sizes: tuple[Annotated[int, Unit("", least=1)], ...] = ()
    limit: Literal["otsu"] | float | None = None
    on: bool = False
    name: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    drives: ClassVar[tuple[str, ...]] = ("x",)

    def __post_init__(self) -> None:
        if self.name == "refused":
            raise ValueError("this combination makes no sense")
        if self.name == "input":
            raise BadInput("bad", "a hint")


PHASES: dict[str, Any] = {"phases": {}}


def read(value: Any) -> tuple[Any, list[str]]:
    problems = Problems("f")
    built = table(Model, value, (), problems)
    return built, [problem.render("f").split(": ", 1)[1] for problem in sorted(problems.found)]


def test_values_of_all_kinds() -> None:
    creep = {"A": "3.5e-25 Pa^-3 s^-1", "n": 3}
    built, problems = read(
        {
            "phases": {"ice": {"modulus": "9 GPa", "ratio": 0.3, "creep": creep}, "air": {}},
            "load": {"mean": "-10 degC", "amplitude": "11 K"},
            "body": {"shape": "box", "edges": ["1 m", "20 cm"]},
            "sizes": [1, 2],
            "limit": 12,
            "extra": {"axis": 0, "list": [1.5, "a"]},
        }
    )
    assert problems == []
    assert built == Model(
        phases={"ice": Phase(9e9, 0.3, Creep(A=3.5e-25, n=3.0)), "air": Phase()},
        load=Wave(263.15, 11.0),
        body=Box((1.0, 0.2)),
        sizes=(1, 2),
        limit=12.0,
        extra={"axis": 0, "list": [1.5, "a"]},
    )
    assert isinstance(built.limit, float)
    assert read({**PHASES, "limit": "otsu", "load": "-10 degC"})[0].load == 263.15


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, "phases: missing key"),
        ({**PHASES, "moed": "fast"}, 'moed: unknown key\n    hint: did you mean "mode"?'),
        ({**PHASES, "drives": ["y"]}, "drives: unknown key"),
        ({**PHASES, "mode": "fats"}, 'mode: must be "fast" or "safe" (got "fats")\n    hint: did you mean "fast"?'),
        ({**PHASES, "mode": 3}, 'mode: must be "fast" or "safe" (got 3)'),
        ({**PHASES, "sizes": 3}, "sizes: must be an array (got 3)\n    hint: write [1]"),
        ({**PHASES, "sizes": [1, True]}, "sizes[1]: must be an integer (got true)"),
        ({**PHASES, "sizes": [1.0]}, "sizes[0]: must be an integer (got 1.0)"),
        ({**PHASES, "sizes": [0]}, "sizes[0]: must be >= 1 (got 0)"),
        ({**PHASES, "sizes": [2**63]}, "sizes[0]: must be below 2^63 (got 9223372036854775808)"),
        ({**PHASES, "sizes": [10**5000]}, "sizes[0]: must be below 2^63 (got an integer of more than 38 digits)"),
        ({**PHASES, "limit": "otzu"}, 'limit: must be "otsu" or a number (got "otzu")'),
        ({**PHASES, "limit": float("inf")}, "limit: must be finite (got inf)"),
        ({**PHASES, "on": 1}, "on: must be true or false (got 1)"),
        ({**PHASES, "name": 1}, "name: must be a text (got 1)\n    hint: text stands in quotes"),
        ({**PHASES, "load": 263.15}, "load: missing unit (got 263.15)"),
        ({**PHASES, "load": "-10 kg"}, 'load: wrong dimension: "-10 kg" cannot be given in K'),
        ({**PHASES, "load": "-300 degC"}, 'load: must be > 0 (got "-300 degC")'),
        ({**PHASES, "load": {"mean": "1 K", "amplitude": "2 degC"}}, "load.amplitude: must be a temperature"),
        ({**PHASES, "load": ["1 K"]}, "load: must be a quantity in K or a table (got an array of 1)"),
        ({**PHASES, "body": {"shape": "bxo"}}, 'body.shape: must be "ball" or "box" (got "bxo")'),
        ({**PHASES, "body": {}}, "body.shape: missing key"),
        ({**PHASES, "body": {"shape": "box", "edges": ["1 m"]}}, "body.edges: must have 2 entries (got an array of 1)"),
        ({**PHASES, "body": {"shape": "box", "edges": ["1 m", 2]}}, "body.edges[1]: missing unit (got 2)"),
        ({"phases": []}, "phases: must be a table (got an array of 0)"),
        ({"phases": {"a": {"ratio": 0.5}}}, "phases.a.ratio: must be > -1 and < 0.5 (got 0.5)"),
        ({"phases": {"a": {"ratio": "0.3"}}}, 'phases.a.ratio: must be a number without quotes (got "0.3")'),
        ({"phases": {"a": {"ratio": float("nan")}}}, "phases.a.ratio: must be finite (got nan)"),
        ({"phases": {"a": {"creep": {"n": 3}}}}, 'phases.a.creep.A: missing key\n    hint: add A = "1 Pa^-n s^-1"'),
        ({"phases": {"a b": {"modulus": False}}}, 'phases."a b".modulus: must be a quantity in Pa (got false)'),
        ({**PHASES, "extra": {"t": float("nan")}}, "extra.t: must be finite (got nan)"),
        ({**PHASES, "name": "refused"}, "job: this combination makes no sense"),
        ({**PHASES, "name": "input"}, "job: bad\n    hint: a hint"),
        (3, "job: must be a table (got 3)"),
    ],
)
def test_each_mistake_has_its_message(value: Any, expected: str) -> None:
    built, problems = read(value)
    assert built is INVALID or "unknown key" in problems[0]
    assert len(problems) == 1
    assert problems[0].startswith(expected)


def test_a_unit_may_depend_on_a_sibling() -> None:
    def law(**values: Any) -> list[str]:
        return read({"phases": {"ice": {"creep": values}}})[1]

    assert law(A="1e-25 Pa^-3 s^-1") == [] == law(A="1 kPa^-1.8 / s", n=1.8)
    assert law(A="1e-25 Pa^-3 s^-1", n=1.8)[0].startswith("phases.ice.creep.A: wrong dimension")
    assert law(A=1e-25, n=4) == [
        'phases.ice.creep.A: missing unit (got 1e-25)\n    hint: write it with a unit, for example "1e-25 Pa^-4 s^-1"'
    ]
    assert [problem.split(":")[0] for problem in law(A="1 Pa^-3 s^-1", n=True)][-1] == "phases.ice.creep.n"


def test_all_mistakes_of_a_table_are_found_at_once() -> None:
    _, problems = read({"phases": {"a": {"ratio": 1, "modulus": 1}}, "sizes": [0, 0.5], "on": 1, "x": 1})
    assert len(problems) == 6


def test_foreign_text_cannot_move_the_cursor_of_a_terminal() -> None:
    _, problems = read({**PHASES, "\x1b[2J": 1, "mode": "\x1b[1A" + "x" * 500})
    assert all("\x1b" not in problem and len(problem) < 250 for problem in problems)
