"""Eight numbers in the registers of the processor, as two groups of four that may lie apart in memory.

Loops too short for the compiler to turn them into vector instructions are written with these: ``get``, ``put``, ``turned`` and
``+``, ``-``, ``*`` lane by lane, all in one precision. The functions below are the plain twins: there a vector is an array.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import lower_builtin, models, register_model, type_callable

from hpcms.contracts import Array
from hpcms.kernels import JIT

GROUP = 4
TURN = [1, 2, 0, 3, 5, 6, 4, 7]


def get(a: Array, i: int, k: int) -> Array:
    """a[i : i + 4] and a[k : k + 4] of a flat array."""
    return np.concatenate((a[i : i + GROUP], a[k : k + GROUP]))


def put(a: Array, i: int, k: int, v: Array) -> None:
    """The inverse of ``get``."""
    a[i : i + GROUP], a[k : k + GROUP] = v[:GROUP], v[GROUP:]


def turned(v: Array) -> Array:
    """(y, z, x, w) for the (x, y, z, w) of each group."""
    return v[TURN]


class Vector(types.Type):
    """What the compiler takes a vector for; ``kind``: float32 or float64."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        super().__init__(name=f"Vector({kind})")


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Any) -> None:
        super().__init__(manager, vector, ir.VectorType(manager[vector.kind].get_value_type(), 2 * GROUP))


def _shuffle(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes))


def _places(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """Pointers to the two groups that ``get`` and ``put`` move."""
    array = signature.args[0]
    data = context.make_array(array)(context, builder, args[0]).data
    group = ir.VectorType(context.get_data_type(array.dtype), GROUP).as_pointer()
    at = [context.cast(builder, args[n], signature.args[n], types.intp) for n in (1, 2)]
    return [builder.bitcast(builder.gep(data, [n]), group) for n in at]


@type_callable(get)
def _type_get(context: Any) -> Callable[..., Any]:
    return lambda a, i, k: Vector(a.dtype)


@lower_builtin(get, types.Array, types.Integer, types.Integer)
def _get(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    size = signature.args[0].dtype.bitwidth // 8
    low, high = (builder.load(p, align=size) for p in _places(context, builder, signature, args))
    return _shuffle(builder, low, high, list(range(2 * GROUP)))


@type_callable(put)
def _type_put(context: Any) -> Callable[..., Any]:
    return lambda a, i, k, v: types.none if v == Vector(a.dtype) else None


@lower_builtin(put, types.Array, types.Integer, types.Integer, Vector)
def _put(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    size, v = signature.args[0].dtype.bitwidth // 8, args[3]
    for half, place in enumerate(_places(context, builder, signature, args)):
        lanes = list(range(GROUP * half, GROUP * (half + 1)))
        builder.store(_shuffle(builder, v, v, lanes), place, align=size)
    return context.get_dummy_value()


@type_callable(turned)
def _type_turned(context: Any) -> Callable[..., Any]:
    return lambda v: v


@lower_builtin(turned, Vector)
def _turned(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return _shuffle(builder, args[0], args[0], TURN)


def _lane_by_lane(function: Any, instruction: str) -> None:
    @type_callable(function)
    def of(context: Any) -> Callable[..., Any]:
        return lambda a, b: a if isinstance(a, Vector) and a == b else None

    @lower_builtin(function, Vector, Vector)
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args, flags=sorted(JIT["fastmath"]))


for function, instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _lane_by_lane(function, instruction)
