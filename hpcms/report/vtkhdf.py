"""Files for ParaView in the VTKHDF format, version 2 (docs.vtk.org, "VTKHDF File Format").

The mesh is written once; every step refers to it by zero offsets and to its own rows of the data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcms.contracts import Array
from hpcms.report import measures
from hpcms.report.cells import Cell
from hpcms.report.data import Data, Geometry
from hpcms.report.mesh import owners

_TYPES = {4: 9, 2: 3, 1: 1}  # nodes of a cell -> VTK's quad, line, vertex
_MOST = 9  # components; beyond a 3 x 3 tensor ParaView has no use for an array


def write_coarse(data: Data, path: Path) -> Path | None:
    """The coarse state at all committed steps as an unstructured grid, or None for a run without a mesh and sites.

    Point data: every nodal array. Cell data: every answer at the sites, the mean over the sites of a cell; NaN at the
    start, which has none. Plane vectors get a third component; symmetric tensors become xx yy zz xy yz xz.
    Material points become vertices.
    """
    points, cells = _grid(data.geometry)
    if data.geometry is None or not len(points) or not data.numbers:
        return None
    with h5py.File(path, "w") as file:
        root = _root(file, "UnstructuredGrid")
        _mesh(root, points, cells)
        steps = _steps(root, data.times)
        for name in sorted(path.split("/")[1] for path in data.arrays if path.startswith("coarse/")):
            _attach(root, steps, "Point", name, [data.read(f"coarse/{name}", number) for number in data.numbers])
        for fine in data.fines:
            for name, values in _answers(data, data.geometry, fine).items():
                _attach(root, steps, "Cell", f"{fine}_{name}", values)
    return path


def write_cell(cell: Cell, path: Path) -> Path:
    """One region's voxel image: phase and, where there is one, the equivalent creep strain. Lengths in voxels."""
    nx, ny, nz = cell.phase.shape
    with h5py.File(path, "w") as file:
        root = _root(file, "ImageData")
        root.attrs["WholeExtent"] = np.array([0, nx, 0, ny, 0, nz], dtype=np.int64)
        root.attrs["Origin"] = np.zeros(3)
        root.attrs["Spacing"] = np.ones(3)
        root.attrs["Direction"] = np.eye(3).ravel()
        fields = root.create_group("CellData")
        # VTK runs through x first, so the arrays are stored as (z, y, x)
        fields.create_dataset("phase", data=np.ascontiguousarray(cell.phase.astype(np.uint8).T))
        if cell.creep is not None:
            fields.create_dataset("equivalent_creep_strain", data=np.ascontiguousarray(cell.creep.T))
        notes = root.create_group("FieldData")
        notes.create_dataset("region", data=np.array([cell.region], dtype=np.int64))
        notes.create_dataset(cell.measure.replace(" ", "_"), data=np.array([cell.load]))
    return path


def _root(file: Any, kind: str) -> Any:
    """The group that a reader looks for. The type is a string of fixed length in ASCII, as the format asks."""
    root = file.create_group("VTKHDF")
    root.attrs["Version"] = np.array([2, 2], dtype=np.int64)
    root.attrs.create("Type", kind.encode("ascii"), dtype=f"S{len(kind)}")
    return root


def _grid(geometry: Geometry | None) -> tuple[Array, Array]:
    """(N, 2) points and (C, k) cells; for material points the sites of the first fine model."""
    if geometry is None:
        return np.zeros((0, 2)), np.zeros((0, 1), dtype=np.int64)
    if geometry.dimension:
        return geometry.points, geometry.cells
    points = next((points for _, points in sorted(geometry.sites.items())), np.zeros((0, 2)))
    return points, np.arange(len(points)).reshape(-1, 1)


def _mesh(root: Any, points: Array, cells: Array) -> None:
    """One part: points, connectivity, offsets, types."""
    for name, count in (("Points", len(points)), ("Cells", len(cells)), ("ConnectivityIds", cells.size)):
        root.create_dataset(f"NumberOf{name}", data=np.array([count], dtype=np.int64))
    root.create_dataset("Points", data=np.column_stack([points, np.zeros(len(points))]))
    root.create_dataset("Connectivity", data=cells.ravel().astype(np.int64))
    root.create_dataset("Offsets", data=cells.shape[1] * np.arange(len(cells) + 1, dtype=np.int64))
    root.create_dataset("Types", data=np.full(len(cells), _TYPES[cells.shape[1]], dtype=np.uint8))


def _steps(root: Any, times: Array) -> Any:
    """The group that says which rows belong to which step; times in s. The mesh of all steps starts at row 0."""
    steps = root.create_group("Steps")
    steps.attrs["NSteps"] = np.int64(len(times))
    steps.create_dataset("Values", data=times)
    zeros = np.zeros(len(times), dtype=np.int64)
    for name in ("PartOffsets", "PointOffsets"):
        steps.create_dataset(name, data=zeros)
    steps.create_dataset("NumberOfParts", data=zeros + 1)
    for name in ("CellOffsets", "ConnectivityIdOffsets"):
        steps.create_dataset(name, data=zeros.reshape(-1, 1))
    return steps


def _answers(data: Data, geometry: Geometry, fine: str) -> dict[str, list[Array | None]]:
    """Every answer of a fine model over the steps, by cell, and the equivalent stress."""
    owner, count = None, len(geometry.cells)
    if geometry.dimension and fine in geometry.sites:
        owner = owners(geometry, geometry.sites[fine])
    found: dict[str, list[Array | None]] = {}
    for name in data.answers(fine):
        values = [data.read(f"sites/{fine}/{name}", number) for number in data.numbers]
        if owner is not None:
            values = [v if v is None or len(v) != len(owner) else cell_means(v, owner, count) for v in values]
        found[name] = values
    if any(v is not None and v.shape[1:] == (6,) for v in found.get("stress", ())):
        found["equivalent_stress"] = [v if v is None else measures.equivalent_stress(v) for v in found["stress"]]
    return found


def cell_means(values: Array, owner: Array, cells: int) -> Array:
    """(C, ...) means of (S, ...) site values over the sites of each cell; NaN for a cell without a site."""
    count = np.bincount(owner, minlength=cells).astype(float)
    total = np.zeros((cells, *values.shape[1:]))
    np.add.at(total, owner, values)
    count[count == 0] = np.nan
    return np.asarray(total / count.reshape(-1, *[1] * (values.ndim - 1)))


def _attach(root: Any, steps: Any, kind: str, name: str, values: list[Array | None]) -> None:
    """Rows of all steps one after the other, and the offset of each step. What does not fit the mesh is left out."""
    rows = int(root[f"NumberOf{kind}s"][0])
    shapes = {value.shape for value in values if value is not None}
    if len(shapes) != 1:
        return
    shape = shapes.pop()
    if shape[0] != rows or np.prod(shape[1:]) > _MOST:
        return
    filled = [np.full(shape, np.nan) if value is None else np.asarray(value, dtype=float) for value in values]
    flat = np.concatenate(filled).reshape(rows * len(values), -1)
    if shape[1:] == (2,):
        flat = np.column_stack([flat, np.zeros(len(flat))])
    if shape[1:] == (6,):  # from Mandel: 11 22 33 23 13 12, shear times sqrt 2
        flat = flat[:, [0, 1, 2, 5, 3, 4]] / np.sqrt([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    root.require_group(f"{kind}Data").create_dataset(name, data=flat[:, 0] if flat.shape[1] == 1 else flat)
    offsets = rows * np.arange(len(values), dtype=np.int64)
    steps.require_group(f"{kind}DataOffsets").create_dataset(name, data=offsets)
