"""What a field gives to the composition, and small helpers that the field files share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from hpcms.contracts import Array, Arrays, Step
from hpcms.errors import BadInput
from hpcms.problem.mesh import Mesh

Answers = Mapping[str, Arrays]  # fine model -> arrays at the S sites
Values = Mapping[str, Array]  # unknown -> nodal values, all fields


class Parameters(Protocol):
    """What a job says about a field: the frozen dataclass that a field file calls ``FIELD``."""

    def bind(self, mesh: Mesh, name: str, fine: str | None = None, sites: Sequence[Any] = ()) -> Bound:
        """The field on a mesh; ``sites``: paths of material points. Raises ``BadInput`` where this makes no sense."""
        ...


class Balance(NamedTuple):
    """``residual``: (n,), zero where the field's equation holds. ``size``: norm of the largest term in it."""

    residual: Array
    size: float


class Bound(Protocol):
    """A field with its parameters on a mesh. ``unknown`` is its key in ``u``, of shape ``shape`` with n entries.

    ``fine``: the fine model that it asks, or None. ``fixed``: (m,) entries with prescribed values, ascending.
    ``reads``: unknowns of other fields on which its residual depends.
    """

    name: str
    unknown: str
    fine: str | None
    shape: tuple[int, ...]
    fixed: Array
    reads: tuple[str, ...]

    def begin(self) -> Array:
        """Values at time zero."""
        ...

    def predict(self, step: Step) -> Array:
        """A first iterate for the step, with the prescribed values of time ``step.t``."""
        ...

    def constrain(self, value: Array, step: Step) -> Array:
        """A copy with the prescribed values of time ``step.t``."""
        ...

    def sites(self, values: Values, step: Step) -> Arrays:
        """Drives of the fine model at the S sites."""
        ...

    def residual(self, values: Values, answers: Answers, step: Step) -> Balance:
        """The field's equation at ``values`` with the answers that belong to them."""
        ...

    def jacobian(self, other: str, values: Values, answers: Answers, step: Step) -> Any:
        """d residual / d unknown ``other`` as a CSR matrix whose pattern never changes, or None where it is zero."""
        ...

    def summary(self, values: Values, step: Step) -> dict[str, float]:
        """Named scalars for the report, in SI units."""
        ...


def asked(fine: str | None, field: str) -> str:
    """The fine model of a field that cannot do without."""
    if fine is None:
        hint = f'add fine = "NAME" of a table [fine.NAME] to [coarse.{field}]'
        raise BadInput(f"coarse.{field}: needs a fine model", hint)
    return fine


def need(answers: Answers, fine: str, names: tuple[str, ...], field: str) -> list[Array]:
    """The named answers of a fine model, or a plain complaint about those that it does not give."""
    given = answers.get(fine, {})
    missing = [name for name in names if name not in given]
    if missing:
        raise BadInput(
            f"coarse.{field}: fine model {fine!r} gives no {', '.join(missing)}",
            f"it gives: {', '.join(sorted(given)) or 'nothing'}; name another model with coarse.{field}.fine",
        )
    return [np.asarray(given[name], dtype=float) for name in names]


def norm(*vectors: Array) -> float:
    """The largest Euclidean norm among the vectors."""
    return max(float(np.linalg.norm(v)) for v in vectors)
