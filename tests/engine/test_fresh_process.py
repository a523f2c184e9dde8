"""How long a new process takes before it is as fast as it will be."""

from __future__ import annotations

from typing import Any

import pytest

from hpcms.engine.loading import loading
from hpcms.errors import ResourceFailure


def model(first: float, failure: str = "") -> Any:
    """One of a file beside the job: no module that another process could import. Its first solve takes ``first`` CPU s more."""

    class Own:
        started = False

        def solve(self, seconds: float) -> None:
            import time

            if failure:
                raise ArithmeticError(failure)
            end = time.process_time() + seconds + (0.0 if self.started else first)
            self.started = True
            while time.process_time() < end:
                pass

    return Own()


def test_only_what_the_first_solve_takes_more_counts() -> None:
    assert loading([(model(0.5), 0.3)]) == pytest.approx(0.5, abs=0.2)


def test_a_solve_that_fails_is_told_with_its_cause() -> None:
    with pytest.raises(ResourceFailure, match="does not converge") as caught:
        loading([(model(0.0, "does not converge"), 0.0)])
    assert "--on inline" in caught.value.hint
