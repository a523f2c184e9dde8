"""Models are found by name; files of a user only where plugins are allowed."""

from __future__ import annotations

import pytest

from hpcms import fine
from hpcms.errors import BadInput
from hpcms.fine.conduction import Conduction


def test_every_file_of_the_room_is_a_model():
    assert {"conduction", "laminate"} <= set(fine.names())
    assert fine.find("conduction") is Conduction
    assert all(isinstance(fine.find(name), type) for name in fine.names())


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(BadInput, match="conductin") as failure:
        fine.find("conductin")
    assert "did you mean 'conduction'" in failure.value.hint
    assert "laminate" in failure.value.hint


def test_a_users_file_needs_permission(tmp_path):
    path = tmp_path / "my_model.py"
    path.write_text("class Mine:\n    pass\n\n\nMODEL = Mine\n")
    with pytest.raises(BadInput, match="Python file"):
        fine.find(str(path))
    assert fine.find(str(path), plugins=True).__name__ == "Mine"


@pytest.mark.parametrize("text", ["1 / 0\n", "def broken(:\n", "x = 1\n", "MODEL = 3\n"])
def test_a_broken_file_is_bad_input(tmp_path, text):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(BadInput):
        fine.find(str(path), plugins=True)
    with pytest.raises(BadInput, match="no such file"):
        fine.find(str(tmp_path / "absent.py"), plugins=True)
