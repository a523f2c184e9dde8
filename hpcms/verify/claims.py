"""A claim is a computed value beside a known one. Here they are judged and written as one line each."""

from __future__ import annotations

import math
import re
from typing import Any

from hpcms.errors import HpcmsError
from hpcms.verify import quantities
from hpcms.verify.context import Context

Result = dict[str, Any]
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # memory addresses in messages differ from run to run


def evaluate(context: Context, further: bool = False) -> list[Result]:
    """The claims of the context's job, judged. A claim that cannot be computed has failed.

    Claims that need more than the job's own run (``@further_runs``) are left out unless asked for.
    """
    return [_evaluate(context, claim) for claim in context.job.claims if further or not _needs_more(claim.quantity)]


def _needs_more(name: str) -> bool:
    return name in quantities.names() and quantities.needs_further_runs(quantities.find(name))


def _evaluate(context: Context, claim: Any) -> Result:
    result: Result = {
        "id": claim.id,
        "job": context.name,
        "quantity": claim.quantity,
        "options": dict(claim.options),
        "got": None,
        "want": claim.want,
        "tolerance": claim.tolerance,
        "absolute": claim.absolute,
        "basis": claim.basis,
        "passed": False,
    }
    try:
        got = quantities.find(claim.quantity)(context, **claim.options)
    except Exception as error:  # a claim is a question to the whole engine: whatever goes wrong is its answer
        result["error"] = _reason(error)
        return result
    result["got"] = [float(g) for g in got] if isinstance(got, list) else float(got)
    result["passed"] = judge(result["got"], claim.want, claim.tolerance, claim.absolute)
    return result


def _reason(error: Exception) -> str:
    text = f"{error} ({error.hint})" if isinstance(error, HpcmsError) and error.hint else str(error)
    name = "" if isinstance(error, HpcmsError) else f"{type(error).__name__}: "
    return _ADDRESS.sub("", name + " ".join(text.split()))


def judge(got: float | list[float], want: float | list[float], tolerance: float | None, absolute: bool = False) -> bool:
    """Is every computed value the wanted number within the tolerance, or inside the wanted range?

    The tolerance is relative to ``want``, or absolute where asked for or where ``want`` is zero. NaN never passes.
    """
    values = got if isinstance(got, list) else [got]
    if not values or not all(math.isfinite(g) for g in values):
        return False
    if isinstance(want, (list, tuple)):
        slack = tolerance or 0.0
        return all(want[0] - slack <= g <= want[1] + slack for g in values)
    scale = 1.0 if absolute or want == 0 else abs(want)
    return all(abs(g - want) <= (tolerance or 0.0) * scale for g in values)


def format_claim(result: Result) -> str:
    """One line: ``ok     A04   bounds: conductivity(axis=0) is 1.81818, want 1.81818 (1e-08 relative) [basis]``."""
    args = ", ".join(f"{name}={_short(value)}" for name, value in result["options"].items())
    got = "nothing" if result["got"] is None else _number(result["got"])
    if isinstance(result["want"], (list, tuple)):
        want = f"{_number(result['want'][0])} to {_number(result['want'][1])}"
    elif result["absolute"] or result["want"] == 0:
        want = f"{_number(result['want'])} +- {result['tolerance'] or 0:.1g}"
    else:
        want = f"{_number(result['want'])} ({result['tolerance'] or 0:.3g} relative)"
    verdict = "ok    " if result["passed"] else "FAILED"
    line = f"{verdict} {result['id']:<5} {result['job']}: {result['quantity']}({args}) is {got}, want {want}"
    return f"{line} [{result.get('error') or result['basis']}]"


def _short(value: Any) -> str:
    text = str(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _number(value: float | list[float]) -> str:
    if isinstance(value, list):
        shown = [_number(v) for v in (value if len(value) <= 8 else [min(value), max(value)])]
        return f"[{', '.join(shown)}]" if len(value) <= 8 else f"{shown[0]} to {shown[1]} ({len(value)} values)"
    return f"{value:.7g}"
