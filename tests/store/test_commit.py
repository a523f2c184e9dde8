from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_kit import (
    CONTEXT,
    NODES,
    PHASE,
    ROWS,
    SITES,
    advance,
    answers,
    coarse,
    conflicting,
    create,
    drive,
    fine,
    in_process,
    layout,
    write,
)

from hpcms.contracts import TaskRecord
from hpcms.errors import StorageFailure
from hpcms.store import batches
from hpcms.store.commit import CRASH_POINTS, RunStore, read_fine, write_fine
from hpcms.store.run import open_run


def test_what_is_committed_is_read_back(tmp_path: Path) -> None:
    with create(tmp_path / "run") as store:
        for step in range(3):
            head = advance(store, step)
        assert (head.step, head.t, head.generation) == (2, 20.0, 2)
        assert store.head == head
        for step in range(3):
            for name, value in coarse(step).items():
                assert np.array_equal(store.read(f"coarse/{name}", step), value)
            for batch in range(3):
                found = read_fine(store.sink(step), "creep", batch)
                assert sorted(found) == ["creep_strain", "phase"]
                for name, value in fine(step, batch).items():
                    assert found[name].dtype == value.dtype
                    assert np.array_equal(found[name], value)
        assert np.array_equal(store.read("sites/creep/tangent"), answers(2)["creep"]["tangent"])
        assert np.array_equal(store.read("coarse/cells"), np.arange(12).reshape(3, 4))
        assert store.read("time", 1) == 10.0
        assert store.meta(1)["sweeps"] == [{"residual": 1e-7}]
        assert store.job_text == "title = 'kit'\n"
        with pytest.raises(StorageFailure, match="sites/creep/stress: not in step 0"):
            store.read("sites/creep/stress", 0)


def test_the_state_hash_covers_every_array_of_the_step(tmp_path: Path) -> None:
    """A change of one bit anywhere in the step changes it; the history before does not."""
    with create(tmp_path / "a") as store:
        advance(store, 0)
        reference = advance(store, 1).state_hash

    def other(name: str, change: str) -> str:
        with create(tmp_path / name) as store:
            advance(store, 0)
            u, a, batches = coarse(1), answers(1), [fine(1, b) for b in range(3)]
            target = {"coarse": u["temperature"], "answer": a["creep"]["tangent"], "fine": batches[2]["creep_strain"]}
            if change in target:
                target[change].view(np.uint8).reshape(-1)[-1] ^= 1
            sink = store.sink(1)
            entries = [e for b in range(3) for e in write_fine(sink, "creep", b, ROWS[b], batches[b])]
            return store.commit(1, 10.0, u, a, entries, {"note": name}).state_hash

    assert other("same", "") == reference
    assert len({reference, other("b", "coarse"), other("c", "answer"), other("d", "fine")}) == 4


@given(order=st.permutations(range(3)), twice=st.integers(0, 2))
@settings(deadline=None, derandomize=True, max_examples=5)
def test_arrival_order_and_repeated_tasks_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], twice: int
) -> None:
    root = tmp_path_factory.mktemp("order")
    hashes = set()
    for name, arrival in (("sorted", [0, 1, 2]), ("permuted", [*order, twice])):
        with create(root / name) as store:
            entries = [entry for batch in arrival for entry in write(store.sink(0), batch)]
            hashes.add(store.commit(0, 0.0, coarse(0), {}, entries, {}).state_hash)
    assert len(hashes) == 1


def test_eight_processes_write_disjoint_batches(tmp_path: Path) -> None:
    with create(tmp_path / "alone") as store:
        alone = [advance(store, step) for step in range(2)]
    with create(tmp_path / "together") as store, CONTEXT.Pool(8) as pool:
        for step in range(2):
            sink = store.sink(step)
            parts = pool.starmap(write, [(sink, batch % 3) for batch in range(16)])
            head = store.commit(step, 10.0 * step, coarse(step), answers(step), [e for p in parts for e in p], {})
            assert head.state_hash == alone[step].state_hash
    assert open_run(tmp_path / "together").verify() == []


def test_of_several_writers_of_one_chunk_one_wins_and_the_others_are_told(tmp_path: Path) -> None:
    with create(tmp_path) as store, CONTEXT.Pool(8) as pool:
        told = pool.starmap(conflicting, [(store.sink(0), seed) for seed in range(8)])
    assert told.count("") == 1
    assert all("two writers" in text for text in told if text)


def test_a_commit_must_be_complete_and_consistent(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        with pytest.raises(ValueError, match="step 1 does not follow step -1"):
            advance(store, 1)
        advance(store, 0)
        entries = [entry for batch in range(3) for entry in write(store.sink(1), batch)]
        with pytest.raises(StorageFailure, match=r"creep_strain, chunk c\.1\.1\.0\.0\.0\.0: was not written"):
            store.commit(1, 1.0, coarse(1), answers(1), [e for e in entries if ".1.1." not in e.key], {})
        with pytest.raises(ValueError, match="lacks the arrays fine_creep/creep_strain"):
            store.commit(1, 1.0, coarse(1), answers(1), [e for e in entries if "creep_strain" not in e.spec.path], {})
        wrong = {"temperature": np.zeros(NODES + 1), "displacement": coarse(1)["displacement"]}
        store.clean()
        with pytest.raises(ValueError, match="coarse/temperature: shape or type differs"):
            store.commit(1, 1.0, wrong, answers(1), entries, {})
        store.clean()
        entries = [entry for batch in range(3) for entry in write(store.sink(1), batch)]
        other = write_fine(store.sink(1), "creep", 0, ROWS[0], {"phase": 1 - PHASE[:3]})
        with pytest.raises(StorageFailure, match=r"fine_creep/phase, chunk c\.0\.0\.0\.0: two writers"):
            store.commit(1, 1.0, coarse(1), answers(1), [*entries, *other], {})
        changed = [e for e in entries if e.spec.path != "fine_creep/phase" or not e.key.startswith("c.0.")]
        with pytest.raises(StorageFailure, match="fine_creep/phase: declared static, but changed in step 1"):
            store.commit(1, 1.0, coarse(1), answers(1), [*changed, *other], {})
        assert store.head.step == 0
        store.clean()
        assert advance(store, 1).step == 1


def test_bad_batches_and_values_are_refused(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        sink = store.sink(0)
        with pytest.raises(ValueError, match="is not rows"):
            write_fine(sink, "creep", 1, (3, 7), fine(0, 1))
        with pytest.raises(ValueError, match="takes float64 of shape"):
            write_fine(sink, "creep", 1, (3, 6), {"a": np.zeros((2, 5))})
        with pytest.raises(ValueError, match="object cannot be stored"):
            write_fine(sink, "creep", 1, (3, 6), {"a": np.array([None] * 3)})
        for name in ("../a", "a/b", "", "c.0", "zarr json"):
            with pytest.raises(ValueError, match="cannot name"):
                write_fine(sink, "creep", 1, (3, 6), {name: np.zeros(3)})


def test_old_fine_history_is_pruned_and_says_so(tmp_path: Path) -> None:
    with create(tmp_path, keep=2) as store:
        for step in range(5):
            advance(store, step)
        assert np.array_equal(store.read("fine_creep/creep_strain", 3)[:3], fine(3, 0)["creep_strain"])
        assert np.array_equal(read_fine(store.sink(3), "creep", 2)["phase"], PHASE[6:])
        with pytest.raises(StorageFailure, match="step 2 was pruned, steps from 3 on are kept"):
            store.read("fine_creep/creep_strain", 2)
        with pytest.raises(StorageFailure, match="step 2 was pruned"):
            read_fine(store.sink(2), "creep", 0)
    assert {p.name.split(".")[1] for p in (tmp_path / "state.zarr/fine_creep/creep_strain").glob("c.*")} == {"3", "4"}
    run = open_run(tmp_path)
    assert run.verify() == []
    assert np.array_equal(run.read("coarse/temperature", 0), coarse(0)["temperature"])
    for read in (lambda: run.read("fine_creep/creep_strain", 1), lambda: run.history("creep", 1, 0)):
        with pytest.raises(StorageFailure, match="step 1 was pruned"):
            read()
    with RunStore.open(tmp_path, generation=3) as store:
        assert advance(store, 4).state_hash == run.head.state_hash
    with pytest.raises(StorageFailure, match="was pruned"):
        RunStore.open(tmp_path, generation=1)


def test_only_committed_steps_are_handed_to_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "VISIBLE", 0.0)
    with create(tmp_path) as store:
        advance(store, 0)
        write(store.sink(1), 0)
        with pytest.raises(StorageFailure, match="step 1 is not committed: the last one is 0"):
            read_fine(store.sink(1), "creep", 0)


def test_a_worker_that_sees_the_new_head_late_waits_for_it(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        advance(store, 0)
        late = threading.Timer(0.3, advance, (store, 1))
        late.start()
        assert np.array_equal(read_fine(store.sink(1), "creep", 2)["phase"], PHASE[6:])
        late.join()


def test_keep_one_keeps_two(tmp_path: Path) -> None:
    with create(tmp_path, keep=1) as store:
        for step in range(3):
            advance(store, step)
        assert np.array_equal(store.read("fine_creep/creep_strain", 1)[6:], fine(1, 2)["creep_strain"])


def test_going_back_a_generation_and_on_again_gives_the_same_hash(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        heads = [advance(store, step) for step in range(4)]
    with RunStore.open(tmp_path, generation=1) as store:
        assert store.head == heads[1]
        assert not list((tmp_path / "state.zarr/coarse/temperature").glob("c.2.*"))
        assert [advance(store, step).state_hash for step in (2, 3)] == [h.state_hash for h in heads[2:]]
    assert open_run(tmp_path).verify() == []


def test_a_folder_with_a_run_or_a_foreign_store_is_refused(tmp_path: Path) -> None:
    with create(tmp_path / "run") as store:
        advance(store, 0)
    with pytest.raises(StorageFailure, match="already holds a run"):
        create(tmp_path / "run")
    drive(tmp_path / "long", 1)
    (tmp_path / "long/head.json").unlink()
    with pytest.raises(StorageFailure, match="already holds a run") as caught:
        create(tmp_path / "long")
    assert "--generation 1" in caught.value.hint
    (tmp_path / "other/state.zarr").mkdir(parents=True)
    with pytest.raises(StorageFailure, match="is not of a run"):
        create(tmp_path / "other")
    assert (tmp_path / "other/state.zarr").is_dir()
    with pytest.raises(StorageFailure, match="holds no committed step"):
        RunStore.open(tmp_path)
    with pytest.raises(StorageFailure, match="no such run"):
        RunStore.open(tmp_path / "nowhere")


def test_the_run_keeps_the_job_as_it_was(tmp_path: Path) -> None:
    with create(tmp_path) as store:
        advance(store, 0)
    (tmp_path / "job.toml").write_text("title = 'edited'\n")
    with RunStore.open(tmp_path) as store:
        assert store.job_text == "title = 'kit'\n"
        assert store.seeds == 7
    (tmp_path / "resolved.json").write_text(json.dumps({"title": "forged"}))
    with pytest.raises(StorageFailure, match=r"resolved\.json: is not the file"):
        RunStore.open(tmp_path)


def test_layouts_without_regions_are_refused(tmp_path: Path) -> None:
    bad = layout()
    with pytest.raises(ValueError, match="at least one"):
        RunStore.create(tmp_path, "", {}, 0, type(bad)(nodes=bad.nodes, sites={"m": np.zeros((0, 2))}, batch={"m": 1}))


def test_records_pass_through_the_store(tmp_path: Path) -> None:
    record = TaskRecord("fine/creep/0", "fine", "host:1", 1.0, 2.0, 0.5, inputs=("a",), costs=(0.1, 0.2))
    with create(tmp_path) as store:
        advance(store, 0)
        store.append_records([record])
    assert open_run(tmp_path).records() == [record]


# ------------------------------------------------------------------------------------------------ killed in a commit


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """State hashes of an undisturbed run with ``keep = 2``."""
    root = tmp_path_factory.mktemp("undisturbed")
    with create(root, keep=2) as store:
        return [advance(store, step).state_hash for step in range(5)]


@pytest.mark.parametrize("step", [0, 3])
@pytest.mark.parametrize("point", CRASH_POINTS)
def test_killed_at_each_point_of_the_commit(tmp_path: Path, undisturbed: list[str], point: str, step: int) -> None:
    killed = in_process(drive, tmp_path, 4, 2, f"{point}@{step}")
    if step == 0 and point == "prune-part":  # nothing is old enough to be pruned yet
        assert killed == 0
    else:
        assert killed == -signal.SIGKILL
    committed = CRASH_POINTS.index(point) >= CRASH_POINTS.index("head")
    if step or committed:
        run = open_run(tmp_path)
        if killed:
            assert run.head.step == (step if committed else step - 1)
        assert run.head.state_hash == undisturbed[run.head.step]
        assert run.verify() == []
    drive(tmp_path, 4, 2)
    run = open_run(tmp_path)
    assert run.head.state_hash == undisturbed[4]
    assert [s["state_hash"] for s in run.steps()] == undisturbed
    assert run.verify() == []
    left = [p for p in tmp_path.rglob("*") if ".hpcms-" in p.name]
    assert left == []
    old = {p.name.split(".")[1] for p in (tmp_path / "state.zarr/fine_creep/creep_strain").glob("c.*")}
    assert old == {"3", "4"}
    assert run.specs["fine_creep/creep_strain"].count == SITES
