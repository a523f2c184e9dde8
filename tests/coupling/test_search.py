"""The line search: what is cut, what is not."""

from __future__ import annotations

import numpy as np

from hpcms.contracts import Advance
from hpcms.coupling._search import Search


def step(fields: dict[str, tuple[float, float]], rest: float = 0.0, u: float = 1.0) -> Advance:
    """By field: its relative residual and its forces."""
    residuals = {name: value for name, (value, _) in fields.items()}
    detail = {"scales": {name: force for name, (_, force) in fields.items()}, "rest": dict.fromkeys(fields, rest)}
    return Advance({"x": np.array([u])}, max(residuals.values()), True, residuals=residuals, detail=detail)


def test_an_update_to_larger_residuals_is_cut():
    search = Search()
    search.next({"x": np.zeros(1)}, step({"a": (0.5, 1.0)}))
    cut = search.next({"x": np.ones(1)}, step({"a": (0.9, 10.0)}, u=2.0))  # 18 times what it was
    assert 0 < cut["x"][0] < 1


def test_an_update_that_balances_its_own_forces_is_taken():
    search = Search()
    search.next({"x": np.zeros(1)}, step({"a": (1.0, 1.0)}))
    assert search.next({"x": np.ones(1)}, step({"a": (0.2, 8.0)}, u=2.0))["x"] == 2.0


def test_a_field_at_rest_does_not_hold_up_another():
    """The dissipation of a creeping field sets a field of uniform temperature in motion, by forces next to nothing."""
    for rest, taken in ((1e-4, True), (0.0, False)):
        search = Search()
        search.next({"x": np.zeros(1)}, step({"solid": (0.96, 5e4), "heat": (0.0, 7e-14)}, rest))
        after = search.next({"x": np.ones(1)}, step({"solid": (0.74, 5e4), "heat": (0.98, 1e-8)}, rest, u=2.0))
        assert bool(after["x"][0] == 2.0) is taken
