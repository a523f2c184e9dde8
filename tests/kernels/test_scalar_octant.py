"""Cells mirrored along their axes are solved on an octant, large ones in single precision first: the answer is the same."""

from __future__ import annotations

import numpy as np
import pytest

from hpcms.kernels import cell_scalar, green_mirror, green_scalar
from hpcms.kernels.cell_scalar_frame import framed
from hpcms.problem import images

SPACING = (0.1, 0.3, 0.2)


def whole(s, shape, odd):
    """The sources of all eight octants, nodal values, from the dual ones of one octant."""
    full = np.zeros(shape)
    for at in np.ndindex(*s.shape):
        value, half = s[at], [n // 2 for n in shape]
        for axis in range(3):
            value *= 2 if axis != odd and at[axis] in (0, half[axis]) else 1
        for side in np.ndindex(2, 2, 2):
            image = tuple((-i) % n if b else i % n for i, b, n in zip(at, side, shape, strict=True))
            full[image] = -value if side[odd] else value
    return full


@pytest.mark.parametrize("odd", [0, 1, 2])
@pytest.mark.parametrize(
    ("shape", "box"),
    [((8, 6, 10), (3, 3, 4)), ((8, 6, 10), (5, 4, 6)), ((4, 4, 4), (3, 2, 2)), ((64, 4, 6), (20, 3, 3))],
)
def test_the_folded_green_operator_is_that_of_the_whole_cell(shape, box, odd):
    s = np.random.default_rng(1).normal(size=box)
    planes = np.moveaxis(s, odd, 0)
    planes[0] = 0
    planes[shape[odd] // 2 :] = 0
    want = green_scalar.solve_plain(whole(s, shape, odd), shape, SPACING) / 2.5
    want = want[np.ix_(*(np.arange(b) % n for b, n in zip(box, shape, strict=True)))]
    for kind, tolerance in ((np.float64, 1e-13), (np.float32, 1e-6)):
        out = np.empty(box, kind)
        green_mirror.prepare(shape, box, SPACING, 2.5, odd, kind).solve(s.astype(kind), out)
        np.testing.assert_allclose(out, want, rtol=0, atol=tolerance * np.abs(want).max())


@pytest.mark.parametrize("k", [[1.0, 100.0, 7.0], [1.0, 0.0, 3.0], [0.0, 1.0, 1e6]])
def test_an_octant_gives_the_tensor_of_the_whole_cell(k):
    phase = images.mirror(np.random.default_rng(2).integers(0, 3, (4, 3, 2))).astype(np.uint8)
    rolled = np.roll(phase, (1, 2, 1), (0, 1, 2))
    assert framed(phase, np.array(k), SPACING).octant
    assert not framed(rolled, np.array(k), SPACING).octant
    fast, slow = (cell_scalar.effective(p, np.array(k), SPACING, 1e-10) for p in (phase, rolled))
    for a, b in ((fast.conductivity, slow.conductivity), (fast.energy, slow.energy)):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * np.abs(b).max())


@pytest.mark.parametrize("mirrored", [True, False])
def test_single_precision_completed_in_double_gives_the_double_answer(mirrored):
    part = (np.random.default_rng(3).random((33, 33, 33)) < 0.4).astype(np.uint8)
    phase = images.mirror(part) if mirrored else part
    k = np.array([1e-8, 1e-6])  # the scale of the numbers must not matter
    fast, slow = (cell_scalar.effective(phase, k, (1e-5,) * 3, 1e-10, axes=(0,), single=s) for s in (True, False))
    assert fast.outcomes[0].ok
    assert fast.outcomes[0].linear_iterations <= 1.5 * slow.outcomes[0].linear_iterations
    assert fast.conductivity[0, 0] == pytest.approx(slow.conductivity[0, 0], rel=1e-9)
    assert fast.outcomes[0].residual != slow.outcomes[0].residual
