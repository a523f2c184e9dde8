"""What a lost worker can cost: a task needs others of its own step, and what is committed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpcms import engine
from hpcms.cluster.ref import references
from hpcms.cluster.remote import RemoteExecutor


@pytest.mark.parametrize("scheme", ["nested", "condensed", "barrier_free"])
def test_no_task_needs_one_of_the_step_before(job: Path, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask keeps, and would run again, all that a result was made from, whether that was released or not."""
    needs: dict[str, set[int]] = {}
    submit = RemoteExecutor.submit

    def noted(self: RemoteExecutor, function: Any, *args: Any, key: str, **how: Any) -> Any:
        kind, _, step = key.split("/")[:3] if key.count("/") > 1 else (key, "", "")
        own = {int(step.split(".")[0])} if kind in ("fine", "commit") else set()
        needs[key] = own.union(*(needs[r.key] for r in references(args)))
        return submit(self, function, *args, key=key, **how)

    monkeypatch.setattr(RemoteExecutor, "submit", noted)
    engine.run(job, on="local:1", out=job.parent / "out", overrides={"coupling.scheme": scheme})
    assert max(len(steps) for steps in needs.values()) == 1
    assert set().union(*needs.values()) == set(range(5))
