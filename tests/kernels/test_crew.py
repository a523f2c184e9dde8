"""Threads that share the tasks of a kernel."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from hpcms.kernels.crew import AWAKE, Crew


@pytest.mark.parametrize("size", [1, 2, 4])
def test_every_part_is_done_once(size: int) -> None:
    done, names = np.zeros(size, int), set()

    def work(part: int) -> None:
        done[part] += 1
        names.add(threading.current_thread())

    crew = Crew(size)
    with crew:
        for pause in (0.0, 0.0, 3 * AWAKE, 0.0):  # helpers that are awake, and such that sleep
            time.sleep(pause)
            crew.run(work, range(size))
    assert done.tolist() == [4] * size
    assert len(names) == size
    assert not any(thread.is_alive() for thread in names - {threading.current_thread()})


def test_outside_the_caller_works_alone() -> None:
    names = []
    Crew(3).run(lambda part: names.append((part, threading.current_thread())), range(3))
    assert names == [(part, threading.current_thread()) for part in range(3)]


def test_more_parts_than_threads_are_refused_not_forgotten() -> None:
    crew = Crew(2)
    with crew, pytest.raises(ValueError, match="longer"):
        crew.run(print, range(3))


@pytest.mark.parametrize("bad", [0, 1])
def test_an_error_is_raised_when_all_have_ended(bad: int) -> None:
    ended = []

    def work(part: int) -> None:
        if part == bad:
            raise ValueError(f"part {part}")
        time.sleep(0.02)
        ended.append(part)

    crew = Crew(2)
    with crew:
        with pytest.raises(ValueError, match=f"part {bad}"):
            crew.run(work, range(2))
        assert ended == [1 - bad]
        ended.clear()
        crew.run(ended.append, range(2))
    assert sorted(ended) == [0, 1]
