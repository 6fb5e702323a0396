"""Locks: one holder at a time, whoever waits gets what is there, and nothing is left."""

import threading

import pytest

from seapkg.locks import locked, locked_file


class Busy(Exception):
    pass


def refuse():
    raise Busy


def test_a_file_is_made_for_its_holder_and_gone_afterwards(tmp_path):
    path = tmp_path / "lock"
    with locked_file(path):
        assert path.is_file()
        with pytest.raises(Busy), locked_file(path, refuse):
            pass
        assert path.is_file()
    assert not path.exists()


def test_whoever_waited_holds_a_file_that_the_next_one_meets(tmp_path):
    """The first holder takes its file away while the second waits for it: the third must still find the second."""
    path, waits, holds, done = (
        tmp_path / "lock",
        threading.Event(),
        threading.Event(),
        threading.Event(),
    )

    def second():
        with locked_file(path, waits.set):
            holds.set()
            assert done.wait(10)

    thread = threading.Thread(target=second)
    with locked_file(path):
        thread.start()
        assert waits.wait(10)
    assert holds.wait(10)
    with pytest.raises(Busy), locked_file(path, refuse):
        pass
    done.set()
    thread.join(10)
    assert not thread.is_alive() and not path.exists()


def test_an_error_inside_frees_the_lock(tmp_path):
    path = tmp_path / "lock"
    with pytest.raises(ValueError), locked_file(path):
        raise ValueError
    with locked_file(path, refuse), locked(tmp_path, refuse):
        pass
    with locked(tmp_path), pytest.raises(Busy), locked(tmp_path, refuse):
        pass
