"""Compiled kernels against plain NumPy, and against the same source run by Python itself.

The NumPy side is written here with the shape functions of ``fields``: gradients at Gauss points and their transpose.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from hpcms import cachedir
from hpcms.cluster import check_threads, cores, open_executor
from hpcms.contracts import Array, Regions
from hpcms.errors import BadInput
from hpcms.fine.solid import Creep, Solid, SolidPhase
from hpcms.kernels import green_scalar, hex8_elastic, hex8_scalar, norton, vectors
from hpcms.verify.context import Context
from hpcms.verify.quantities import further_runs
from hpcms.verify.quantities.fields import GAUSS, gradients, hooke, strains

Pair = tuple[Callable[[], Any], Callable[[], Any]]  # the same by kernels, and by plain NumPy
SPACING = (1.0, 0.8, 1.3)
SHAPE = (5, 6, 7)


def nodal_forces(flux: Array, shape: tuple[int, int, int]) -> Array:
    """(nx, ny, nz) transpose of ``gradients``: integral of flux . grad(shape function), periodic; flux (..., 8, 3)."""
    out = np.zeros(shape)
    weight = float(np.prod(SPACING)) / 8
    for g, point in enumerate(product(GAUSS, repeat=3)):
        for at in product((0, 1), repeat=3):
            factors = [x if side else 1 - x for x, side in zip(point, at, strict=True)]
            for axis in range(3):
                others = np.prod([f for a, f in enumerate(factors) if a != axis])
                slope = others * (1 if at[axis] else -1) / SPACING[axis]
                out += np.roll(weight * slope * flux[..., g, axis], at, axis=(0, 1, 2))
    return out


def _off(a: Any, b: Any) -> float:
    a, b = np.asarray(a, float), np.asarray(b, float)
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))


def _scalar_stiffness(rng: np.random.Generator) -> Pair:
    u, k, G = rng.random(SHAPE), rng.random(SHAPE) + 0.1, rng.random(3)
    out, extent = np.zeros(SHAPE), hex8_scalar.extents(k)
    w, jump = hex8_scalar.weights(SPACING), G * SPACING

    def fast() -> Array:
        out[:] = 0.0
        hex8_scalar.apply(u, k, extent, w, jump, out)
        return out

    return fast, lambda: nodal_forces(k[..., None, None] * (gradients(u, SPACING, SHAPE) + G), SHAPE)


def _scalar_green(rng: np.random.Generator) -> Pair:
    s, green, u = rng.standard_normal(SHAPE), green_scalar.prepare(SHAPE, SHAPE, SPACING), np.empty(SHAPE)

    def fast() -> Array:
        green.solve(s, u)
        return u

    def plain() -> Array:
        shifts = np.eye(s.size).reshape(-1, *SHAPE)
        K = np.array([nodal_forces(gradients(e, SPACING, SHAPE), SHAPE).ravel() for e in shifts])
        found: Array = (np.linalg.pinv(K, rcond=1e-12, hermitian=True) @ s.ravel()).reshape(SHAPE)
        return found

    return fast, plain


def _elastic_stiffness(rng: np.random.Generator) -> Pair:
    u, E, nu, mean = rng.random((3, *SHAPE)), rng.random(SHAPE) + 0.1, 0.4 * rng.random(SHAPE), rng.random(6)
    lam, mu = E * nu / ((1 + nu) * (1 - 2 * nu)), E / (2 * (1 + nu))
    f, total = np.zeros((3, *SHAPE)), np.zeros(6)

    def fast() -> Array:
        f[:], total[:] = 0.0, 0.0
        hex8_elastic.apply_stiffness(u, lam, mu, mean, np.array(SPACING), f, total)
        return np.append(f, total)

    def plain() -> Array:
        s = hooke(strains(u, mean, SPACING, SHAPE), E, nu)
        shear = s[..., 3:] / np.sqrt(2.0)
        rows = (
            (s[..., 0], shear[..., 2], shear[..., 1]),
            (shear[..., 2], s[..., 1], shear[..., 0]),
            (shear[..., 1], shear[..., 0], s[..., 2]),
        )
        forces = np.array([nodal_forces(np.stack(row, axis=-1), SHAPE) for row in rows])
        return np.append(forces, s.sum(axis=(0, 1, 2, 3)) * np.prod(SPACING) / 8)

    return fast, plain


def _vectors(rng: np.random.Generator) -> Pair:
    z, r, p0, q0 = rng.standard_normal((4, 4000))
    p, q, w = p0.copy(), q0.copy(), z.copy()

    def fast() -> Array:
        p[:], q[:] = p0, q0
        w[:] = z
        vectors.directions(w, r, 0.3, p, q, w)
        size = vectors.advance(0.7, q, r, p, q)
        return np.concatenate([p, q, [size, vectors.dot(z, r)]])

    def plain() -> Array:
        a, b = z + 0.3 * p0, r + 0.3 * q0
        a, b = a + 0.7 * b, b - 0.7 * r
        return np.concatenate([a, b, [np.sum(b * b), np.sum(z * r)]])

    return fast, plain


def _creep_law(rng: np.random.Generator) -> Pair:
    k = 10.0 ** rng.uniform(-12, 12, 512)
    x = np.empty_like(k)

    def fast() -> Array:
        norton.remaining_cubic(k, k.view(np.int64), x, x.view(np.int64))
        return x

    def plain() -> Array:
        """x + k x^3 = 1 by bisection of log x."""
        low, high = np.full(k.shape, -30.0), np.zeros(k.shape)
        for _ in range(100):
            middle = 0.5 * (low + high)
            above = np.exp(middle) + k * np.exp(3 * middle) > 1
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        found: Array = np.exp(0.5 * (low + high))
        return found

    return fast, plain


def _creep_cell(rng: np.random.Generator, A: float = 1e-22, n: float = 3.0) -> Pair:
    """Mean stress, and the creep increment at every Gauss point of the creeping phase, of one step of a small cell."""
    law = Creep(A=A, n=n)
    hard = SolidPhase(youngs_modulus=3e10, poisson_ratio=0.2)
    soft = SolidPhase(youngs_modulus=1e10, poisson_ratio=0.3, creep=law)
    model = Solid(phases={"soft": soft, "hard": hard}, tolerance=1e-9, tangent_tolerance=1e-2, plane="xy")
    shape = (3, 2, 3)
    phase = (rng.random((1, *shape)) < 0.4).astype(np.uint8)
    regions = Regions(np.zeros(1, np.int64), phase, ("soft", "hard"), SPACING)
    mean = np.array([1e-3, -5e-4, 0.0, 0.0, 0.0, 2e-3])
    drive = {"strain": mean[None], "temperature": np.full(1, law.reference_temperature), "dt": np.ones(1)}
    last: dict[str, Array] = {}

    def fast() -> Array:
        answers, state, _ = model.solve(drive, model.begin(regions), np.zeros(1, np.uint64))
        last.update(displacement=state["displacement"][0], creep=state["creep_strain"][0])
        return np.append(answers["stress"][0] / 1e10, state["creep_strain"][0])

    def plain() -> Array:
        """From displacement and creep: s = 2 mu dev(e - creep), rate = 3/2 A q^(n - 1) s, q the uniaxial stress."""
        E, nu = (np.array([getattr(p, name) for p in (soft, hard)])[phase[0]]
                 for name in ("youngs_modulus", "poisson_ratio"))  # fmt: skip
        elastic = hooke(strains(last["displacement"], mean, SPACING, shape) - last["creep"], E, nu)
        s = elastic.copy()
        s[..., :3] -= elastic[..., :3].mean(axis=-1, keepdims=True)
        q = np.sqrt(1.5 * np.sum(s * s, axis=-1, keepdims=True))
        creep = 1.5 * law.A * q ** (law.n - 1) * s * (phase[0] == 0)[..., None, None]
        return np.append(elastic.mean(axis=(0, 1, 2, 3)) / 1e10, creep)

    return fast, plain


SAMPLES: dict[str, Callable[[np.random.Generator], Pair]] = {
    "stiffness of a scalar field": _scalar_stiffness,
    "inverse of a homogeneous scalar field": _scalar_green,
    "stiffness of an elastic field": _elastic_stiffness,
    "vectors of conjugate gradients": _vectors,
    "creep law": _creep_law,
    "creeping cell": _creep_cell,
    "creeping cell, another exponent": lambda rng: _creep_cell(rng, 1e-36, 5.0),
}


def differences_to_numpy(context: Context) -> list[float]:
    """Largest relative difference of each kernel to plain NumPy, in the order of ``SAMPLES``."""
    found = []
    for sample in SAMPLES.values():
        fast, plain = sample(np.random.default_rng(context.job.seed))
        found.append(_off(fast(), plain()))
    return found


def timings(calls: int) -> dict[str, float]:
    """Seconds of one call of each kernel, the shortest of ``calls``."""
    found = {}
    for name, sample in SAMPLES.items():
        fast, _ = sample(np.random.default_rng(0))
        found[name] = np.inf
        for _ in range(calls):
            began = time.perf_counter()
            fast()
            found[name] = min(found[name], time.perf_counter() - began)
    return found


@further_runs
def speedups_over_python(context: Context) -> list[float]:
    """Time of each kernel's source run by Python over its time compiled, in the order of ``SAMPLES``."""
    code = "import json; from hpcms.verify.quantities.kernels import timings; print(json.dumps(timings(1)))"
    out = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, check=True
    )
    slow, rounds, end = json.loads(out.stdout.splitlines()[-1]), [timings(20)], time.monotonic() + 2.0
    while time.monotonic() < end:  # a shared machine is slow for tenths of a second at a time
        rounds.append(timings(20))
    return [slow[name] / min(fast[name] for fast in rounds) for name in SAMPLES]


def asked(number: int) -> tuple[str, list[str], list[int]]:
    """On a worker: the cache of this node, its compiled kernels after all have been used, and the limits on threads."""
    timings(1)
    folder = cachedir.numba_cache()
    limits = [int(os.environ.get(n, "0")) for n in ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")]
    return str(folder), sorted(str(p) for p in folder.rglob("*.nbc")), limits


def _workers(context: Context) -> tuple[list[tuple[str, list[str], list[int]]], int]:
    """What this process (first) and the workers of the default executor say, and the number of workers."""

    def make() -> tuple[list[tuple[str, list[str], list[int]]], int]:
        own = asked(-1)
        with open_executor("local", None, context.folder("workers")) as executor:
            refs = [executor.submit(asked, i, key=f"asked/{i}") for i in range(2 * executor.workers)]
            return [own, *(executor.result(ref, 600.0) for ref in refs)], executor.workers

    made: tuple[list[tuple[str, list[str], list[int]]], int] = context.once("workers", make)
    return made


@further_runs
def compiled_again(context: Context) -> float:
    """Kernels that the workers add to the cache of the node after this process has used all of them."""
    found, _ = _workers(context)
    if len({folder for folder, _, _ in found}) != 1 or not found[0][1]:
        raise BadInput("the processes of this node keep their kernels in different folders")
    return float(len({file for _, files, _ in found for file in files} - set(found[0][1])))


@further_runs
def threads_over_cores(context: Context) -> float:
    """Workers of the default executor times the threads of one, over the cores."""
    found, workers = _workers(context)
    limits = [n for _, _, threads in found[1:] for n in threads]
    if min(limits) < 1:
        raise BadInput("a worker does not limit its threads")
    return workers * max(limits) / cores()


def too_many_threads_refused(context: Context) -> float:
    """1 where twice as many workers as cores with one thread each are refused."""
    try:
        check_threads(2 * cores(), 1, cores())
    except BadInput:
        return 1.0
    return 0.0


QUANTITIES = {
    "differences_to_numpy": differences_to_numpy,
    "speedups_over_python": speedups_over_python,
    "compiled_again": compiled_again,
    "threads_over_cores": threads_over_cores,
    "too_many_threads_refused": too_many_threads_refused,
}
