"""Cells with doubled nodes: whole, cut through, and with a crack in between."""

from __future__ import annotations

import numpy as np
import pytest

from hpcms.kernels.split_cell import SplitCell

LAM, MU = 1.3, 0.7


def stiffness(cut: np.ndarray, nz: int, tolerance: float = 1e-9) -> np.ndarray:
    cell, columns = SplitCell(cut, nz, LAM, MU), []
    for e in np.eye(6):
        stress, residual = cell.solve(e, tolerance)
        assert residual <= tolerance
        columns.append(stress)
    return np.array(columns).T


def test_a_cell_without_a_cut_is_whole() -> None:
    want = 2 * MU * np.eye(6)
    want[:3, :3] += LAM
    np.testing.assert_allclose(stiffness(np.zeros((4, 3), bool), 5), want, atol=1e-12)


def test_a_cell_that_is_cut_through_carries_nothing_across() -> None:
    """What is left is a plate in plane stress."""
    want = np.zeros((6, 6))
    want[:2, :2] = 2 * MU * LAM / (LAM + 2 * MU)
    want += 2 * MU * np.diag([1.0, 1, 0, 0, 0, 1])
    np.testing.assert_allclose(stiffness(np.ones((4, 3), bool), 5), want, atol=1e-8)


def test_a_crack_softens_what_opens_and_slides_it() -> None:
    cut = np.zeros((8, 8), bool)
    cut[2:6, 2:6] = True
    whole, part, more = stiffness(np.zeros_like(cut), 8), stiffness(cut, 8), stiffness(np.roll(cut, 1, 0) | cut, 8)
    np.testing.assert_allclose(part, part.T, atol=1e-8)
    assert np.linalg.eigvalsh(whole - part)[0] > -1e-8
    assert np.linalg.eigvalsh(part - more)[0] > -1e-8
    assert np.all(np.diag(part)[2:5] < 0.98 * np.diag(whole)[2:5])
    assert part[5, 5] == pytest.approx(2 * MU, abs=1e-9)  # sheared in its own plane a crack does not show


def test_refinement_softens() -> None:
    """Displacements of elements are stiffer than the truth, and a finer grid holds those of a coarser one."""
    found = []
    for n in (8, 16, 32):
        cut = np.zeros((n, 1), bool)
        cut[n // 4 : 3 * n // 4] = True
        found.append(stiffness(cut, n, 1e-7)[2, 2])
    assert found[0] > found[1] > found[2]
    assert found[1] - found[2] < 0.7 * (found[0] - found[1])
