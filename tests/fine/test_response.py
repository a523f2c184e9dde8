"""The affine response: closed form, tangent, work."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from hpcms import fine
from hpcms.contracts import FineModel, Regions
from hpcms.fine.response import Response


def test_the_response_is_affine_with_its_tangent_and_work() -> None:
    model = Response(c=0.5, offset=2.0)
    regions = Regions(np.arange(3), np.zeros((3, 1, 1, 1), dtype=np.uint8), ("one",))
    state = model.begin(regions)
    u = np.array([[0.0], [1.0], [-4.0]])
    answers, after, outcomes = model.solve({"value": u}, state, np.zeros(3, dtype=np.uint64))
    assert answers["response"][:, 0] == pytest.approx([2.0, 2.5, 0.0])
    assert np.array_equal(answers["tangent"], np.full((3, 1, 1), 0.5))
    assert answers["work"] == pytest.approx([0.0, 2.5, 0.0])
    assert np.array_equal(after["value"], u)
    assert not state["value"].any()
    assert all(o.ok for o in outcomes)
    assert len(model.cost(regions)) == 3


def test_it_is_found_by_name_and_can_travel() -> None:
    assert fine.find("response") is Response
    assert isinstance(Response(1.0), FineModel)
    assert pickle.loads(pickle.dumps(Response(1.0, 2.0))) == Response(1.0, 2.0)
