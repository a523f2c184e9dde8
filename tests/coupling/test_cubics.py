"""Two records of a model without memory: the cubic between them, its tangent, its energy, and what it misses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcms.contracts import Arrays
from hpcms.coupling._records import Records, turned
from hpcms.coupling._rows import Rows

WAY = np.array([1.0, 0.5, 0.0, 0.0, 0.0, -0.2])
SIZE = float(WAY @ WAY)


def law(eps: np.ndarray, power: int) -> Arrays:
    """sigma = eps + (eps . w)^power w with its energy: along w a polynomial of that degree."""
    x = eps @ WAY
    return {
        "stress": eps + x[:, None] ** power * WAY,
        "tangent": np.eye(6) + power * x[:, None, None] ** (power - 1) * np.outer(WAY, WAY),
        "work": ((eps + x[:, None] ** power * WAY) * eps).sum(axis=-1),
        "energy": 0.5 * (eps**2).sum(axis=-1) + x ** (power + 1) / (power + 1),
    }


def made(at: list[float], power: int) -> Records:
    """Records at multiples of the way."""
    r = Records(Rows(np.array([0]), np.array([1])), ("strain", "stress"), False, {"strain": np.zeros((1, 6))})
    for x in at:
        r.sent["strain"][:] = x * WAY
        r.put(np.array([0]), law(x * WAY[None], power))
        r.seen[:] = True
    return r


@given(st.floats(0.2, 1.0), st.floats(1.1, 1.8), st.floats(-0.5, 1.4))
def test_a_cubic_law_is_found_exactly(a: float, further: float, place: float) -> None:
    b = a * further
    eps = (b + place * (b - a)) * WAY[None]
    found, want = made([a, b], 3).at({"strain": eps}), law(eps, 3)
    for name in ("stress", "work", "energy"):
        np.testing.assert_allclose(found[name], want[name], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["tangent"] @ WAY, want["tangent"] @ WAY, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["tangent"], found["tangent"].transpose(0, 2, 1), atol=1e-12)


@given(st.floats(0.3, 1.0), st.floats(0.05, 0.3), st.floats(-0.9, 1.4))
def test_what_a_cubic_misses_is_estimated(a: float, h: float, place: float) -> None:
    """A law of degree four has the same fourth derivative everywhere: the estimate is what is missed."""
    r = made([a, a + h, a + 2 * h], 4)
    eps = (a + (2 + place) * h) * WAY[None]
    missed = np.linalg.norm(r.at({"strain": eps})["stress"] - law(eps, 4)["stress"], axis=-1)
    estimate = r._between({"strain": eps}, ("strain", "stress"))
    assert missed[0] <= 1.001 * estimate[0]
    assert estimate[0] <= 1.001 * missed[0] + 1e-7 * np.linalg.norm(r.answers["stress"])


def test_the_anchor_is_the_last_record_of_the_step_before() -> None:
    """However short the steps are beside what was reached: a far anchor says nothing of the place."""
    r = made([1.0], 3)
    for x in (2.0, 2.05, 2.1):
        r.version[:] = 0  # a new step
        r.sent["strain"][:] = x * WAY
        r.put(np.array([0]), law(x * WAY[None], 3))
    assert np.linalg.norm(r.bend["line"]) == pytest.approx(0.05 * SIZE**0.5)


def test_a_tangent_is_turned_as_little_as_it_may() -> None:
    rng = np.random.default_rng(0)
    change, line = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))
    line[3] = 0.0
    change[3] = 0.0
    delta = turned(change, line)
    np.testing.assert_allclose(np.einsum("rij,rj->ri", delta, line), change, atol=1e-12)
    np.testing.assert_allclose(delta, delta.transpose(0, 2, 1), atol=1e-12)
    assert not delta[3].any()
