"""Files put into place whole: a reader sees the old one or the new one."""

import pytest

from seapkg.files import replacing, write_text


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with replacing(path) as aside:
        aside.write_text("half")
        assert path.read_text() == "old"
        assert aside.parent == tmp_path
    assert path.read_text() == "half"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_changes_nothing_and_leaves_nothing(tmp_path):
    path = tmp_path / ".hidden.json"
    write_text(path, "å")
    with pytest.raises(ZeroDivisionError), replacing(path) as aside:
        aside.write_text("half")
        raise ZeroDivisionError
    assert path.read_text(encoding="utf-8") == "å"
    assert list(tmp_path.iterdir()) == [path]
