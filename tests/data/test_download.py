"""`data get` against a server on this machine: which files arrive, and which are refused."""

import hashlib
import io
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import builders as b
import numpy as np
import pytest

from seapkg.data import load
from seapkg.data.catalogue import REGISTRY, Entry, RemoteFile, entry, read_registry
from seapkg.data.download import get
from seapkg.errors import DataError, RequestError

SUMS = Path(__file__).resolve().parents[3] / "shared" / "data" / "SHA256SUMS"


def npy(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(array))
    return stream.getvalue()


BODIES = {
    f"{split}.npy": npy(np.array(getattr(b, split.upper())).T)
    for split in ("train", "valid", "test")
}
FEATURES = npy(np.arange(4 * 50, dtype=np.float32).reshape(4, 50))


class Handler(BaseHTTPRequestHandler):
    """Sends `server.answers`: path -> bytes, or a status; keeps the path of every request."""

    def do_GET(self):
        self.server.requests.append(self.path)
        answer = self.server.answers.get(self.path, 404)
        self.send_response(answer if isinstance(answer, int) else 200)
        body = b"no" if isinstance(answer, int) else answer
        self.send_header("Content-Length", str(len(body) + self.server.promised_more))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.promised_more = [], 0
    server.answers = {f"/{name}": body for name, body in BODIES.items()}
    server.answers["/image_feat.npy"] = FEATURES
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def remote(server, name, part, body, **more) -> RemoteFile:
    known = {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    return RemoteFile(name, part, f"{server.url}/{name}", **(known | more))


def shop(server, **feature) -> Entry:
    """A dataset on that server; `feature`: what is registered of its features."""
    files = [remote(server, name, "interactions", body) for name, body in BODIES.items()]
    feature = {"n_rows": 4} | feature
    files.append(remote(server, "image_feat.npy", "original", FEATURES, **feature))
    return Entry("a shop", "free", 4, tuple(files), "open a browser; move it to {folder}")


UNKNOWN = {"sha256": None, "bytes": None}


def fails(dataset, folder, **options) -> str:
    """The one line that getting it ends with; no file under the name of the features is left."""
    with pytest.raises(DataError) as caught:
        get(dataset, folder, **options)
    assert "\n" not in str(caught.value) and "image_feat.npy" in str(caught.value)
    assert not list(folder.glob("*image_feat*"))
    return str(caught.value)


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_every_file_arrives_with_the_right_bytes_and_can_be_loaded(server, tmp_path):
    get(shop(server), tmp_path)
    for name, body in {**BODIES, "image_feat.npy": FEATURES}.items():
        assert (tmp_path / name).read_bytes() == body
    assert load(tmp_path).features["image"].shape == (4, 50)
    assert names(tmp_path) == {*BODIES, "image_feat.npy"}


def test_what_is_there_is_not_downloaded_again(server, tmp_path):
    get(shop(server), tmp_path)
    server.requests.clear()
    get(shop(server), tmp_path)
    get(shop(server), tmp_path, offline=True)
    assert server.requests == []


def test_features_can_be_left_out(server, tmp_path):
    get(shop(server), tmp_path, features="none")
    assert "/image_feat.npy" not in server.requests and load(tmp_path).modalities == ()


def test_an_error_names_the_address_the_reason_and_what_to_do_by_hand(server, tmp_path):
    server.answers["/image_feat.npy"] = 401
    message = fails(shop(server), tmp_path)
    assert f"{server.url}/image_feat.npy: 401 Client Error" in message
    assert f"by hand (data/README.md): open a browser; move it to {tmp_path}." in message
    assert load(tmp_path).n_items == 4  # the interactions stay


def test_a_server_that_is_not_there_is_one_line(server, tmp_path):
    dataset = shop(server)
    nowhere = replace(dataset.files[-1], url="http://127.0.0.1:9/image_feat.npy")
    assert "127.0.0.1" in fails(replace(dataset, files=(*dataset.files[:-1], nowhere)), tmp_path)


def test_wrong_bytes_are_refused(server, tmp_path):
    server.answers["/image_feat.npy"] = FEATURES[:-1] + b"?"
    assert "its sha256 is" in fails(shop(server), tmp_path)


def test_a_truncated_body_is_never_taken_for_the_file(server, tmp_path):
    get(shop(server), tmp_path, features="none")
    server.promised_more = 100
    assert "IncompleteRead" in fails(shop(server, **UNKNOWN), tmp_path)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<!DOCTYPE html><html>Please log in</html>", "cannot be read as numpy arrays"),
        (npy(np.ones((5, 2))), "its number of rows is 5, not 4"),
    ],
)
def test_without_a_sum_what_is_no_array_of_the_registered_rows_is_refused(
    server, tmp_path, body, reason
):
    server.answers["/image_feat.npy"] = body
    assert reason in fails(shop(server, **UNKNOWN), tmp_path)


def test_offline_downloads_nothing_and_says_what_is_missing(server, tmp_path):
    missing = "train.npy, valid.npy, test.npy, image_feat.npy missing"
    assert missing in fails(shop(server), tmp_path, offline=True)
    assert server.requests == [] and names(tmp_path) == set()


def test_what_a_killed_download_left_behind_is_removed(server, tmp_path):
    leftover = tmp_path / ".writing-0123"
    leftover.touch()
    os.utime(leftover, (0, 0))
    get(shop(server), tmp_path)
    assert not leftover.exists()


def test_a_file_that_changed_in_the_folder_is_refused_and_left_alone(server, tmp_path):
    dataset = shop(server)
    get(dataset, tmp_path)
    (tmp_path / "image_feat.npy").write_bytes(npy(np.ones((4, 2))))
    with pytest.raises(DataError, match="image_feat.npy: its size in bytes is .* Remove the file"):
        get(dataset, tmp_path)
    assert np.load(tmp_path / "image_feat.npy").shape == (4, 2)


def test_a_file_placed_by_hand_is_checked_against_its_registered_sum(server, tmp_path):
    (tmp_path / "image_feat.npy").write_bytes(FEATURES)
    get(shop(server), tmp_path)
    assert "/image_feat.npy" not in server.requests
    (tmp_path / "image_feat.npy").write_bytes(FEATURES[:-1] + b"?")
    with pytest.raises(DataError, match="image_feat.npy: its sha256 is .*, not "):
        get(shop(server), tmp_path)


def test_a_file_placed_by_hand_without_a_registered_sum_is_checked_by_its_rows(server, tmp_path):
    (tmp_path / "image_feat.npy").write_bytes(npy(np.ones((5, 2))))
    with pytest.raises(DataError, match="image_feat.npy: its number of rows is 5, not 4"):
        get(shop(server, **UNKNOWN), tmp_path)
    (tmp_path / "image_feat.npy").write_bytes(FEATURES)
    get(shop(server, **UNKNOWN), tmp_path)


def test_features_in_circulation_that_are_no_originals_are_refused(server, tmp_path):
    other = npy(np.ones((4, 2)))
    (tmp_path / "image_feat.npy").write_bytes(other)
    known = {"image_feat.npy": hashlib.sha256(other).hexdigest()}
    with pytest.raises(DataError, match="image_feat.npy: it is not the original but a surrogate"):
        get(replace(shop(server), not_original=known), tmp_path)


def test_features_that_there_are_not_are_refused(server, tmp_path):
    with pytest.raises(RequestError, match="no surrogate features"):
        get(shop(server), tmp_path, features="surrogate")
    with pytest.raises(RequestError, match="original, surrogate, none; it is 'orignal'"):
        get(shop(server), tmp_path, features="orignal")


def test_many_that_want_the_same_folder_fetch_each_file_once(server, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: get(shop(server), tmp_path), range(8)))
    assert sorted(server.requests) == ["/image_feat.npy", "/test.npy", "/train.npy", "/valid.npy"]


def test_the_registry_is_sound():
    registry = read_registry(REGISTRY)
    assert list(registry) == ["baby", "sports", "clothing", "lfm2k", "tiktok"]
    for one in registry.values():
        assert one.about and one.terms and one.by_hand
        assert one.part("interactions") and one.part("original")
        assert len({file.name for file in one.files}) == len(one.files)
        for file in one.files:
            assert file.url.startswith("https://")
            assert file.sha256 is None or (len(file.sha256) == 64 and int(file.sha256, 16))
            assert file.sha256 or file.n_rows or file.bytes or file.modality
            assert Path(file.name).name == file.name


def test_the_original_features_of_the_amazon_sets_are_known_by_size_and_sum():
    registry = read_registry(REGISTRY)
    originals = {
        f"{name} {file.name}": (file.bytes, file.sha256[:8])
        for name in ("baby", "sports", "clothing")
        for file in registry[name].part("original")
    }
    assert originals == {
        "baby image_feat.npy": (231_014_528, "36c3be59"),
        "baby text_feat.npy": (10_828_928, "6667f2ad"),
        "sports image_feat.npy": (601_522_304, "222f924a"),
        "sports text_feat.npy": (28_196_480, "27d6087f"),
        "clothing image_feat.npy": (754_745_472, "050ea2d0"),
        "clothing text_feat.npy": (35_378_816, "17d9e036"),
    }
    for name in ("baby", "sports", "clothing"):  # float64 images, float32 texts, and a header
        n_items = registry[name].n_items
        sizes = [file.bytes - 128 for file in registry[name].part("original")]
        assert sizes == [n_items * 4096 * 8, n_items * 384 * 4]


@pytest.mark.skipif(not SUMS.exists(), reason="the real data is not in ../shared/data")
def test_the_registered_sums_are_those_of_the_real_data():
    known = dict(reversed(line.split()) for line in SUMS.read_text().splitlines())
    registry, n_checked = read_registry(REGISTRY), 0
    for name, one in registry.items():
        for file in one.files:
            if file.sha256 and (file.part == "interactions" or name == "lfm2k"):
                assert file.sha256 == known[f"{name}/{file.name}"]
                n_checked += 1
        for file, value in one.not_original.items():
            assert known[f"{name}/{file}"] == value
    assert n_checked == 9


def test_an_unknown_name_and_a_damaged_registry_are_one_line(tmp_path):
    with pytest.raises(RequestError, match="did you mean 'sports'"):
        entry("sport")
    path = tmp_path / "registry.json"
    path.write_text(json.dumps({"shop": {"files": [{"name": "x", "part": "graph"}]}}))
    with pytest.raises(DataError, match="it cannot be read") as caught:
        read_registry(path)
    assert "\n" not in str(caught.value)
