"""Eight numbers in the registers of the processor, as two groups of four that may lie apart in memory.

Loops that the compiler does not turn into vector instructions of its own are written with these: the functions below, and ``+``,
``-``, ``*`` lane by lane in one precision. As they stand here they are the plain twins: there a vector is an array.
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


def same(x: float) -> Array:
    """x in all lanes."""
    return np.full(2 * GROUP, x)


def read(a: Array, i: int, x: Array) -> Array:
    """The eight numbers a[i : i + 8], widened where the vector x is wider."""
    return a[i : i + 2 * GROUP].astype(x.dtype)


def put(a: Array, i: int, k: int, v: Array) -> None:
    """The inverse of ``get``."""
    a[i : i + GROUP], a[k : k + GROUP] = v[:GROUP], v[GROUP:]


def write(a: Array, i: int, x: Array) -> None:
    """The inverse of ``read``, in one precision."""
    a[i : i + 2 * GROUP] = x


def turned(v: Array) -> Array:
    """(y, z, x, w) for the (x, y, z, w) of each group."""
    return v[TURN]


def summed(v: Array) -> float:
    """The sum of the eight."""
    return v.sum()


def transposed(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array, Array, Array]:
    """Rows <-> columns of the 4 x 4 numbers that the first groups of four vectors hold, and likewise of the second groups."""
    first, second = np.stack((a, b, c, d)).reshape(GROUP, 2, GROUP).transpose(1, 2, 0)
    x, y, z, w = np.concatenate((first, second), axis=1)
    return x, y, z, w


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


def _place(context: Any, builder: Any, signature: Any, args: Any, count: int, n: int = 1) -> Any:
    """Pointer to the ``count`` numbers that begin where argument n tells."""
    array = signature.args[0]
    data = context.make_array(array)(context, builder, args[0]).data
    at = builder.gep(data, [context.cast(builder, args[n], signature.args[n], types.intp)])
    return builder.bitcast(at, ir.VectorType(context.get_data_type(array.dtype), count).as_pointer())


def _places(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """Pointers to the two groups that ``get`` and ``put`` move."""
    return [_place(context, builder, signature, args, GROUP, n) for n in (1, 2)]


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


@type_callable(same)
def _type_same(context: Any) -> Callable[..., Any]:
    return lambda x: Vector(x) if isinstance(x, types.Float) else None


@lower_builtin(same, types.Float)
def _same(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    one = ir.Constant(context.get_value_type(signature.return_type), ir.Undefined)
    v = builder.insert_element(one, args[0], ir.Constant(ir.IntType(32), 0))
    return _shuffle(builder, v, v, [0] * 2 * GROUP)


@type_callable(read)
def _type_read(context: Any) -> Callable[..., Any]:
    return lambda a, i, x: x if isinstance(x, Vector) and a.dtype.bitwidth <= x.kind.bitwidth else None


@lower_builtin(read, types.Array, types.Integer, Vector)
def _read(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    place, wanted = _place(context, builder, signature, args, 2 * GROUP), context.get_value_type(signature.return_type)
    v = builder.load(place, align=signature.args[0].dtype.bitwidth // 8)
    return v if v.type == wanted else builder.fpext(v, wanted)


@type_callable(write)
def _type_write(context: Any) -> Callable[..., Any]:
    return lambda a, i, x: types.none if x == Vector(a.dtype) else None


@lower_builtin(write, types.Array, types.Integer, Vector)
def _write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    place = _place(context, builder, signature, args, 2 * GROUP)
    builder.store(args[2], place, align=signature.args[0].dtype.bitwidth // 8)
    return context.get_dummy_value()


@type_callable(summed)
def _type_summed(context: Any) -> Callable[..., Any]:
    return lambda v: v.kind if isinstance(v, Vector) else None


@lower_builtin(summed, Vector)
def _summed(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    v = args[0]
    for half in (4, 2, 1):
        low, high = (_shuffle(builder, v, v, list(range(n, n + half))) for n in (0, half))
        v = builder.fadd(low, high)
    return builder.extract_element(v, ir.Constant(ir.IntType(32), 0))


@type_callable(transposed)
def _type_transposed(context: Any) -> Callable[..., Any]:
    return lambda a, b, c, d: types.UniTuple(a, GROUP) if isinstance(a, Vector) and a == b == c == d else None


@lower_builtin(transposed, Vector, Vector, Vector, Vector)
def _transposed(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    a, b, c, d = args
    low, high = [0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]
    p, q, r, s = (_shuffle(builder, *pair, lanes) for lanes in (low, high) for pair in ((a, b), (c, d)))
    first, last = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]
    rows = [_shuffle(builder, *pair, lanes) for pair in ((p, q), (r, s)) for lanes in (first, last)]
    return context.make_tuple(builder, signature.return_type, rows)


def _lane_by_lane(function: Any, instruction: str) -> None:
    @type_callable(function)
    def of(context: Any) -> Callable[..., Any]:
        return lambda a, b: a if isinstance(a, Vector) and a == b else None

    @lower_builtin(function, Vector, Vector)
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args, flags=sorted(JIT["fastmath"]))


for function, instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _lane_by_lane(function, instruction)
