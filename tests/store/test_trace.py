from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcms.contracts import TaskRecord
from hpcms.errors import StorageFailure
from hpcms.store.trace import append_records, read_records

TEXT = st.text(max_size=20)
REAL = st.floats(0, 1e12)
RECORDS = st.lists(
    st.builds(
        TaskRecord, key=TEXT, kind=TEXT, worker=TEXT, start=REAL, end=REAL, cpu_s=REAL, bytes_in=st.integers(0, 2**60),
        inputs=st.lists(TEXT, max_size=3).map(tuple), costs=st.lists(REAL, max_size=3).map(tuple),
    ),
    max_size=4,
)  # fmt: skip
ONE = TaskRecord("fine/creep/1.0.0/3", "fine", "host:17", 1.0, 2.5, 1.25, inputs=("a", "b"), costs=(0.5, 0.75))


@given(parts=st.lists(RECORDS, max_size=3))
@settings(deadline=None, derandomize=True, max_examples=25)
def test_records_come_back_in_order(tmp_path_factory: pytest.TempPathFactory, parts: list[list[TaskRecord]]) -> None:
    root = tmp_path_factory.mktemp("trace")
    for part in parts:
        append_records(root, part)
    assert read_records(root) == [record for part in parts for record in part]


@pytest.mark.parametrize("torn", range(1, 60, 7))
def test_a_torn_last_line_costs_one_record_only(tmp_path: Path, torn: int) -> None:
    append_records(tmp_path, [ONE, ONE])
    path = tmp_path / "trace.jsonl"
    path.write_bytes(path.read_bytes()[:-torn])
    whole = [ONE] * (2 if torn == 1 else 1)  # only the line end is lost
    assert read_records(tmp_path) == whole
    append_records(tmp_path, [ONE])
    assert read_records(tmp_path) == [*whole, ONE]


def test_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    append_records(tmp_path, [ONE])
    body = json.loads((tmp_path / "trace.jsonl").read_text())
    bad = [
        "[]", "null", "rubbish", "{}", json.dumps({**body, "cpu_s": "long"}), json.dumps({**body, "inputs": "a"}),
        json.dumps({**body, "costs": [[]]}), "[" * 20_000, json.dumps({**body, "bytes_in": True}),
    ]  # fmt: skip
    newer = json.dumps({**body, "field_of_a_later_version": 1})
    with (tmp_path / "trace.jsonl").open("a") as stream:
        stream.write("\n".join([*bad, newer]) + "\n")
        stream.flush()
    with (tmp_path / "trace.jsonl").open("ab") as stream:
        stream.write(b"\xff\xfe\n")
    assert read_records(tmp_path) == [ONE, ONE]


def test_numpy_numbers_are_written_as_numbers(tmp_path: Path) -> None:
    append_records(tmp_path, [TaskRecord("k", "fine", "w", 1.0, 2.0, np.float64(0.5), costs=(np.float32(0.25),))])
    assert read_records(tmp_path) == [TaskRecord("k", "fine", "w", 1.0, 2.0, 0.5, costs=(0.25,))]


def test_no_trace_is_no_record_and_a_link_is_refused(tmp_path: Path) -> None:
    assert read_records(tmp_path) == []
    append_records(tmp_path, [])
    assert not (tmp_path / "trace.jsonl").exists()
    (tmp_path / "other").write_text("{}")
    (tmp_path / "trace.jsonl").symlink_to(tmp_path / "other")
    with pytest.raises(StorageFailure, match="is a link"):
        read_records(tmp_path)
    with pytest.raises(StorageFailure, match="cannot write"):
        append_records(tmp_path, [ONE])
