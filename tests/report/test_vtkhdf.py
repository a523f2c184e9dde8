"""The files for ParaView, checked against the VTKHDF format."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcms.report import cells, vtkhdf
from tests.report import synthetic


@pytest.fixture
def file(tmp_path: Path) -> h5py.File:
    data = synthetic.footing_run(tmp_path, nx=4, ny=3, steps=3)
    with h5py.File(vtkhdf.write_coarse(data, tmp_path / "coarse.vtkhdf"), "r") as opened:
        yield opened


def test_the_head_is_what_a_reader_looks_for(file: h5py.File) -> None:
    root = file["VTKHDF"]
    assert root.attrs["Version"].tolist() == [2, 2]
    assert root.attrs["Type"] == b"UnstructuredGrid"
    kind = h5py.h5a.open(root.id, b"Type").get_type()
    assert not kind.is_variable_str()
    assert kind.get_cset() == h5py.h5t.CSET_ASCII


def test_the_mesh_is_one_part_of_quadrilaterals(file: h5py.File) -> None:
    root = file["VTKHDF"]
    assert root["NumberOfPoints"][:].tolist() == [20]
    assert root["NumberOfCells"][:].tolist() == [12]
    assert root["NumberOfConnectivityIds"][:].tolist() == [48]
    assert root["Points"].shape == (20, 3)
    assert root["Offsets"][:].tolist() == list(range(0, 49, 4))
    assert set(root["Types"][:]) == {9}
    corners = root["Points"][:, :2][root["Connectivity"][:].reshape(-1, 4)]
    x, y = corners[..., 0], corners[..., 1]
    area = 0.5 * np.sum(x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1), axis=1)
    assert np.all(area > 0)
    assert area.sum() == pytest.approx(24.0)


def test_every_step_points_to_its_own_rows(file: h5py.File) -> None:
    root, steps = file["VTKHDF"], file["VTKHDF/Steps"]
    assert steps.attrs["NSteps"] == 4
    assert np.allclose(steps["Values"], np.linspace(0, 365 * 86400.0, 4))
    for name in ("PartOffsets", "PointOffsets"):
        assert steps[name][:].tolist() == [0] * 4
    assert steps["NumberOfParts"][:].tolist() == [1] * 4
    assert steps["CellOffsets"].shape == steps["ConnectivityIdOffsets"].shape == (4, 1)
    for kind, rows in (("Point", 20), ("Cell", 12)):
        assert set(root[f"{kind}Data"]) == set(steps[f"{kind}DataOffsets"])
        for name, values in root[f"{kind}Data"].items():
            assert steps[f"{kind}DataOffsets"][name][:].tolist() == [rows * k for k in range(4)]
            assert len(values) == 4 * rows


def test_point_data_are_those_of_the_run(file: h5py.File, tmp_path: Path) -> None:
    data = synthetic.footing_run(tmp_path, nx=4, ny=3, steps=3)
    found = file["VTKHDF/PointData"]
    assert np.array_equal(found["temperature"][40:60], data.read("coarse/temperature", 2))
    assert np.array_equal(found["displacement"][60:, :2], data.read("coarse/displacement", 3))
    assert not found["displacement"][:, 2].any()


def test_cell_data_are_means_in_tensor_components(file: h5py.File, tmp_path: Path) -> None:
    data = synthetic.footing_run(tmp_path, nx=4, ny=3, steps=3)
    found = file["VTKHDF/CellData"]
    mean = data.read("sites/creep/creep_rate", 3).reshape(12, 4, 6).mean(axis=1)
    assert np.allclose(found["creep_creep_rate"][36:, :3], mean[:, :3])
    assert np.isnan(found["creep_stress"][:12]).all()  # the start has no answers
    shear = np.zeros((12, 6))
    shear[:, 5] = np.sqrt(2.0) * 7.0  # Mandel 12
    with h5py.File(tmp_path / "tensor.h5", "w") as scratch:
        scratch.create_dataset("NumberOfCells", data=[12])
        vtkhdf._attach(scratch, scratch.create_group("Steps"), "Cell", "s", [shear])
        assert np.allclose(scratch["CellData/s"][:], 7.0 * np.eye(6)[3])


def test_large_tangents_are_left_out(file: h5py.File) -> None:
    assert file["VTKHDF/CellData/conduction_tangent"].shape == (48, 9)
    assert all(values.ndim == 1 or values.shape[1] <= 9 for values in file["VTKHDF/CellData"].values())


def test_a_cell_is_stored_with_x_running_fastest(tmp_path: Path) -> None:
    phase = np.random.default_rng(1).integers(0, 2, (2, 3, 4)).astype(np.uint8)
    creep = np.arange(24.0).reshape(2, 3, 4)
    cell = cells.Cell("creep", 17, phase, creep, 2e4, "Pa", "equivalent stress")
    with h5py.File(vtkhdf.write_cell(cell, tmp_path / "cell.vtkhdf"), "r") as opened:
        root = opened["VTKHDF"]
        assert root.attrs["Type"] == b"ImageData"
        assert root.attrs["WholeExtent"].tolist() == [0, 2, 0, 3, 0, 4]
        assert root.attrs["Direction"].shape == (9,)
        assert np.array_equal(root["CellData/phase"][:], phase.transpose(2, 1, 0))
        assert root["CellData/equivalent_creep_strain"][3, 2, 1] == creep[1, 2, 3]
        assert root["FieldData/region"][0] == 17


def test_points_become_vertices_and_intervals_lines(tmp_path: Path) -> None:
    for make, kind in ((synthetic.points_run, 1), (synthetic.interval_run, 3)):
        path = vtkhdf.write_coarse(make(tmp_path), tmp_path / f"{kind}.vtkhdf")
        with h5py.File(path, "r") as opened:
            assert set(opened["VTKHDF/Types"][:]) == {kind}
