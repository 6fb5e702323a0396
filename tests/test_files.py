"""Files put into place whole, leftovers of dead writers, and locks."""

import os
import threading

import pytest

from seapkg.files import locked, remove_leftovers, replacing, write_text


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path
    assert path.read_text() == "half"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_changes_nothing_and_leaves_nothing(tmp_path):
    path = tmp_path / ".hidden.json"
    write_text(path, "å")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text(encoding="utf-8") == "å"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_process_have_different_temporary_files(tmp_path):
    path = tmp_path / "state.npz"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]


def test_leftovers_are_removed_after_a_day(tmp_path):
    young, old = tmp_path / ".writing-1", tmp_path / ".writing-2"
    young_folder, old_folder = tmp_path / ".writing-3", tmp_path / ".writing-4"
    for file in (young, old):
        file.write_text("half")
    for folder in (young_folder, old_folder):
        folder.mkdir()
    for path in (old, old_folder):
        os.utime(path, (0, 0))
    checkpoint = tmp_path / ".training-sea-baby-0123456789ab.npz"
    checkpoint.write_text("whole")
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([young, young_folder, checkpoint])


class Busy(Exception):
    pass


def refuse():
    raise Busy


def test_the_lock_file_exists_while_the_lock_is_held(tmp_path):
    path = tmp_path / "lock"
    with locked(path):
        assert path.is_file()
        with pytest.raises(Busy), locked(path, refuse):
            pass
        assert path.is_file()
    assert not path.exists()


def test_whoever_waited_holds_a_lock_that_the_next_one_meets(tmp_path):
    """The first holder removes the lock file while the second waits: the third must meet the
    second.
    """
    path = tmp_path / "lock"
    waits, holds, done = threading.Event(), threading.Event(), threading.Event()

    def second():
        with locked(path, waits.set):
            holds.set()
            assert done.wait(10)

    thread = threading.Thread(target=second)
    with locked(path):
        thread.start()
        assert waits.wait(10)
    assert holds.wait(10)
    with pytest.raises(Busy), locked(path, refuse):
        pass
    done.set()
    thread.join(10)
    assert not thread.is_alive() and not path.exists()


def test_an_error_inside_frees_the_lock_of_a_folder(tmp_path):
    with pytest.raises(ValueError), locked(tmp_path):
        raise ValueError
    with locked(tmp_path, refuse), pytest.raises(Busy), locked(tmp_path, refuse):
        pass
    assert list(tmp_path.iterdir()) == []
