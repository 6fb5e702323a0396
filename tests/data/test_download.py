"""`data get` against a server on this machine: every way a download can go wrong, and what is kept of it."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import builders as b
import numpy as np
import pytest
import torch

from seapkg.data import catalogue, download, load
from seapkg.data.download import get
from seapkg.data.records import RECORD, read_record
from seapkg.data.registry import REGISTRY, Entry, RemoteFile, entry, read_registry
from seapkg.data.transfer import CHUNK, Patience
from seapkg.errors import DataError, RequestError

SUMS = Path(__file__).resolve().parents[3] / "shared" / "data" / "SHA256SUMS"
PATIENCE = Patience(connect=2, stall=0.3, tries=2, pause=0.01, progress=False)
HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"


def npy(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(array))
    return stream.getvalue()


BODIES = {
    f"{split}.npy": npy(np.array(getattr(b, split.upper())).T)
    for split in ("train", "valid", "test")
}
FEATURES = npy(np.arange(4 * 5000, dtype=np.float32).reshape(4, 5000))


class Handler(BaseHTTPRequestHandler):
    """Answers from `server.answers`: path -> list of functions, the last of which stays; keeps every request."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        answers = self.server.answers.get(self.path, [status(404)])
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def log_message(self, *arguments):
        pass


def send(handler, code, body, length=None, **headers):
    handler.send_response(code)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def whole(body, **headers):
    return lambda handler: send(handler, 200, body, **headers)


def status(code):
    return lambda handler: send(handler, code, b"no")


def cut(body, size, **headers):
    """Promises `body`, sends `size` bytes of it, and hangs up."""
    return lambda handler: send(handler, 200, body[:size], length=len(body), **headers)


def stall(body, size, seconds=1.0):
    def answer(handler):
        cut(body, size)(handler)
        handler.wfile.flush()
        time.sleep(seconds)

    return answer


def ranged(body, **headers):
    """Honours Range, as file servers do."""

    def answer(handler):
        asked = handler.headers.get("Range")
        if asked is None:
            return send(handler, 200, body, **headers)
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(body):
            return send(handler, 416, b"")
        place = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return send(handler, 206, body[start:], Content_Range=place, **headers)

    return answer


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.asked = True, []
    server.answers = {f"/{name}": [whole(body)] for name, body in BODIES.items()}
    server.answers["/image_feat.npy"] = [ranged(FEATURES)]
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def shop(server, summed=True, mirrors=(), **feature) -> Entry:
    """A dataset on that server; with `summed=False` its features have no registered sum."""
    files = [remote(server, name, "interactions", body) for name, body in BODIES.items()]
    features = remote(
        server, "image_feat.npy", "original", FEATURES, mirrors=mirrors, shape=(4, None), **feature
    )
    if not summed:
        features = RemoteFile(**{**vars(features), "sha256": None, "bytes": None})
    return Entry(
        "shop",
        "a shop",
        "free",
        4,
        (*files, features),
        ("open a browser", "move the file to {folder}"),
        {},
    )


def remote(server, name, part, body, **more) -> RemoteFile:
    return RemoteFile(
        name,
        part,
        f"{server.url}/{name}",
        bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        **more,
    )


def fails(dataset, folder, **options) -> str:
    """The one line that getting it ends with; no file under the name of the features is left."""
    with pytest.raises(DataError) as caught:
        get(dataset, folder, patience=PATIENCE, **options)
    assert "\n" not in str(caught.value) and "image_feat.npy" in str(caught.value)
    assert not (folder / "image_feat.npy").exists()
    return str(caught.value)


def test_every_file_arrives_with_the_right_bytes_and_can_be_loaded(server, tmp_path):
    get(shop(server), tmp_path, patience=PATIENCE)
    for name, body in {**BODIES, "image_feat.npy": FEATURES}.items():
        assert (tmp_path / name).read_bytes() == body
    assert load(tmp_path).features["image"].shape == (4, 5000)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*BODIES, "image_feat.npy", RECORD]
    )


def test_what_is_there_is_not_downloaded_again(server, tmp_path):
    get(shop(server), tmp_path, patience=PATIENCE)
    server.asked.clear()
    get(shop(server), tmp_path, patience=PATIENCE, offline=True)
    assert server.asked == []


def test_features_can_be_left_out(server, tmp_path):
    get(shop(server), tmp_path, features="none", patience=PATIENCE)
    assert "/image_feat.npy" not in dict(server.asked) and load(tmp_path).modalities == ()


def test_wrong_bytes_are_refused(server, tmp_path):
    server.answers["/image_feat.npy"] = [whole(FEATURES[:-1] + b"?")]
    assert "sha256 is not the registered one" in fails(shop(server), tmp_path)
    assert not list(tmp_path.glob("*.part*"))


def test_a_file_of_another_size_is_refused_before_it_is_read(server, tmp_path):
    server.answers["/image_feat.npy"] = [whole(FEATURES + b"more")]
    assert f"size is {len(FEATURES) + 4} bytes, not {len(FEATURES)}" in fails(
        shop(server), tmp_path
    )


@pytest.mark.parametrize("summed", [True, False])
def test_a_truncated_body_is_never_taken_for_the_file(server, tmp_path, summed):
    server.answers["/image_feat.npy"] = [cut(FEATURES, 30_000)]
    assert "2 times" in fails(shop(server, summed), tmp_path)


def test_a_transfer_that_breaks_off_goes_on_with_a_range_request(server, tmp_path):
    server.answers["/image_feat.npy"] = [cut(FEATURES, 30_000), ranged(FEATURES)]
    get(shop(server), tmp_path, patience=PATIENCE)
    assert (tmp_path / "image_feat.npy").read_bytes() == FEATURES
    assert server.asked[-1] == ("/image_feat.npy", f"bytes={30_000 // CHUNK * CHUNK}-")


def test_a_later_call_goes_on_where_an_earlier_one_stopped(server, tmp_path):
    (tmp_path / "image_feat.npy.part").write_bytes(FEATURES[:1000])
    get(shop(server), tmp_path, patience=PATIENCE)
    assert (tmp_path / "image_feat.npy").read_bytes() == FEATURES
    assert server.asked[-1] == ("/image_feat.npy", "bytes=1000-")


def test_transfers_that_get_on_are_taken_up_as_often_as_it_takes(server, tmp_path):
    """Each answer is a fifth of the file and then nothing: more drops than there are tries, each of them further on."""
    step = len(FEATURES) // 5

    def a_piece(handler):
        asked = handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        rest, place = FEATURES[start:], f"bytes {start}-{len(FEATURES) - 1}/{len(FEATURES)}"
        send(
            handler,
            206 if asked else 200,
            rest[:step],
            length=len(rest),
            **({"Content_Range": place} if asked else {}),
        )

    server.answers["/image_feat.npy"] = [a_piece]
    get(shop(server), tmp_path, patience=PATIENCE)
    assert (tmp_path / "image_feat.npy").read_bytes() == FEATURES
    assert len(server.asked) > 3 + PATIENCE.tries


def test_a_part_that_is_whole_only_wants_its_name(server, tmp_path):
    (tmp_path / "image_feat.npy.part").write_bytes(FEATURES)
    get(shop(server), tmp_path, patience=PATIENCE)
    assert "/image_feat.npy" not in [path for path, _ in server.asked]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"etag": 3}'])
def test_a_damaged_note_of_a_parts_version_does_no_harm(server, tmp_path, content):
    (tmp_path / "image_feat.npy.part").write_bytes(FEATURES[:100])
    (tmp_path / "image_feat.npy.part.json").write_text(content)
    get(shop(server), tmp_path, patience=PATIENCE)
    assert (tmp_path / "image_feat.npy").read_bytes() == FEATURES


def test_a_part_of_another_file_is_found_out_and_downloaded_anew(server, tmp_path):
    (tmp_path / "image_feat.npy.part").write_bytes(b"x" * 1000)
    get(shop(server), tmp_path, patience=PATIENCE)
    assert (tmp_path / "image_feat.npy").read_bytes() == FEATURES
    assert [asked for path, asked in server.asked if path == "/image_feat.npy"] == [
        "bytes=1000-",
        None,
    ]


def test_a_part_longer_than_the_file_is_downloaded_anew(server, tmp_path):
    (tmp_path / "image_feat.npy.part").write_bytes(b"x" * (len(FEATURES) + 5))
    get(shop(server), tmp_path, patience=PATIENCE)
    assert (tmp_path / "image_feat.npy").read_bytes() == FEATURES


def test_without_a_sum_only_the_same_version_is_taken_up(server, tmp_path):
    server.answers["/image_feat.npy"] = [
        cut(FEATURES, 30_000, ETag='"1"'),
        ranged(FEATURES, ETag='"1"'),
    ]
    get(shop(server, summed=False), tmp_path, patience=PATIENCE)
    assert (tmp_path / "image_feat.npy").read_bytes() == FEATURES
    assert server.asked[-1][1] == f"bytes={30_000 // CHUNK * CHUNK}-"


def test_without_a_sum_and_a_version_it_begins_anew(server, tmp_path):
    (tmp_path / "image_feat.npy.part").write_bytes(FEATURES[:1000])
    get(shop(server, summed=False), tmp_path, patience=PATIENCE)
    assert server.asked[-1] == ("/image_feat.npy", None)


def test_a_server_that_ignores_the_range_sends_all_of_it(server, tmp_path):
    (tmp_path / "image_feat.npy.part").write_bytes(b"x" * 1000)
    server.answers["/image_feat.npy"] = [whole(FEATURES)]
    get(shop(server), tmp_path, patience=PATIENCE)
    assert (tmp_path / "image_feat.npy").read_bytes() == FEATURES


def test_mirrors_are_tried_in_order(server, tmp_path):
    server.answers["/second"] = [whole(FEATURES)]
    server.answers["/image_feat.npy"] = [status(404)]
    get(
        shop(server, mirrors=(f"{server.url}/first", f"{server.url}/second")),
        tmp_path,
        patience=PATIENCE,
    )
    assert [path for path, _ in server.asked][-3:] == ["/image_feat.npy", "/first", "/second"]
    assert read_record(tmp_path)["image_feat.npy"]["origin"] == f"{server.url}/second"


@pytest.mark.parametrize("headers", [{"Content_Type": "text/html; charset=utf-8"}, {}])
def test_a_page_in_place_of_a_file_is_recognised(server, tmp_path, headers):
    server.answers["/image_feat.npy"] = [whole(HTML, **headers)]
    assert "an HTML page in place of the file" in fails(shop(server, summed=False), tmp_path)


def test_a_file_that_is_no_array_of_the_registered_shape_is_refused(server, tmp_path):
    server.answers["/image_feat.npy"] = [whole(npy(np.ones((5, 2))))]
    assert "shape (5, 2)" in fails(shop(server, summed=False), tmp_path)
    server.answers["/image_feat.npy"] = [whole(b"version https://git-lfs.github.com/spec/v1")]
    assert "cannot be read as a numpy file" in fails(shop(server, summed=False), tmp_path)


def test_a_redirect_is_followed(server, tmp_path):
    server.answers["/elsewhere"] = [whole(FEATURES)]
    server.answers["/image_feat.npy"] = [
        lambda handler: send(handler, 302, b"", Location="/elsewhere")
    ]
    get(shop(server), tmp_path, patience=PATIENCE)
    assert (tmp_path / "image_feat.npy").read_bytes() == FEATURES


def test_a_server_that_stalls_is_given_up(server, tmp_path):
    server.answers["/image_feat.npy"] = [stall(FEATURES, 100)]
    start = time.monotonic()
    assert "stalled" in fails(shop(server), tmp_path)
    assert time.monotonic() - start < 5


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.answers["/image_feat.npy"] = [status(503), whole(FEATURES)]
    get(shop(server), tmp_path, patience=PATIENCE)
    assert (tmp_path / "image_feat.npy").read_bytes() == FEATURES


def test_a_server_that_is_not_there_is_one_line(server, tmp_path):
    dataset = shop(server)
    nowhere = RemoteFile(**{**vars(dataset.files[-1]), "url": "http://127.0.0.1:9/image_feat.npy"})
    dataset = Entry(**{**vars(dataset), "files": (*dataset.files[:-1], nowhere)})
    assert "connection failed" in fails(dataset, tmp_path)


def test_failed_features_leave_the_interactions_and_tell_the_manual_steps(server, tmp_path):
    server.answers["/image_feat.npy"], said = [status(401)], []
    assert "HTTP 401" in fails(shop(server), tmp_path, say=said.append)
    assert said[-2:] == ["by hand, 1: open a browser", f"by hand, 2: move the file to {tmp_path}"]
    assert load(tmp_path).n_items == 4


def test_offline_downloads_nothing_and_says_what_is_missing(server, tmp_path):
    assert "missing train.npy, valid.npy, test.npy, image_feat.npy" in fails(
        shop(server), tmp_path, offline=True
    )
    assert server.asked == [] and not list(tmp_path.iterdir())


def test_the_first_sum_is_recorded_and_later_downloads_must_have_it(server, tmp_path):
    dataset = shop(server, summed=False)
    get(dataset, tmp_path, patience=PATIENCE)
    noted = read_record(tmp_path)["image_feat.npy"]
    assert noted["sha256"] == hashlib.sha256(FEATURES).hexdigest() and noted["bytes"] == len(
        FEATURES
    )
    (tmp_path / "image_feat.npy").unlink()
    server.answers["/image_feat.npy"] = [whole(npy(np.ones((4, 2))))]
    assert RECORD in fails(dataset, tmp_path)


def test_a_file_that_changed_in_the_folder_is_refused_and_left_alone(server, tmp_path):
    dataset = shop(server, summed=False)
    get(dataset, tmp_path, patience=PATIENCE)
    (tmp_path / "image_feat.npy").write_bytes(npy(np.ones((4, 2))))
    with pytest.raises(
        DataError, match="image_feat.npy: its sha256 is not the first recorded .* Remove the file"
    ):
        get(dataset, tmp_path, patience=PATIENCE)
    assert np.load(tmp_path / "image_feat.npy").shape == (4, 2)


def test_files_a_user_placed_are_checked(server, tmp_path):
    (tmp_path / "image_feat.npy").write_bytes(FEATURES)
    get(shop(server, summed=False), tmp_path, patience=PATIENCE)
    assert read_record(tmp_path)["image_feat.npy"]["origin"] == "placed by hand"
    assert "/image_feat.npy" not in dict(server.asked)
    other = tmp_path / "other"
    other.mkdir()
    (other / "image_feat.npy").write_bytes(HTML)
    with pytest.raises(DataError, match="image_feat.npy.*cannot be read as a numpy file"):
        get(shop(server, summed=False), other, patience=PATIENCE)
    with pytest.raises(DataError, match="image_feat.npy.*sha256 is not the registered"):
        get(shop(server), other, patience=PATIENCE)


def test_a_full_disk_is_noticed_before_anything_is_asked_for(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(DataError, match="MB of space are needed and 0 MB are free"):
        get(shop(server), tmp_path / "new", patience=PATIENCE)
    assert server.asked == [] and not (tmp_path / "new").exists()


def test_a_damaged_record_is_one_line(server, tmp_path):
    (tmp_path / RECORD).write_text('{"image_feat.npy": 3}')
    (tmp_path / "image_feat.npy").write_bytes(FEATURES)
    with pytest.raises(DataError, match=f"{RECORD}: the record cannot be read"):
        get(shop(server), tmp_path, patience=PATIENCE)


def graphed(server, n_items=40) -> Entry:
    """A dataset whose features can only be made: a ring as image graph."""
    items = torch.arange(n_items)
    index = torch.cat([torch.stack([items, (items + step) % n_items]) for step in (0, 1, 2)], dim=1)
    values = torch.tensor([1, 0.5, 0.3]).repeat_interleave(n_items) / 1.8
    stream = io.BytesIO()
    torch.save(
        torch.sparse_coo_tensor(index, values, (n_items, n_items), check_invariants=True), stream
    )
    server.answers["/image.pt"] = [whole(stream.getvalue())]
    pairs = np.stack([np.arange(n_items) % 5, np.arange(n_items)])
    bodies = {
        "train.npy": npy(pairs[:, :-2]),
        "valid.npy": npy(pairs[:, -2:-1]),
        "test.npy": npy(pairs[:, -1:]),
    }
    server.answers |= {f"/{name}": [whole(body)] for name, body in bodies.items()}
    files = [remote(server, name, "interactions", body) for name, body in bodies.items()]
    graph = RemoteFile("image.pt", "graph", f"{server.url}/image.pt", modality="image")
    original = RemoteFile("image_feat.npy", "original", f"{server.url}/none", shape=(n_items, 16))
    return Entry("ring", "a ring", "free", n_items, (*files, graph, original))


@pytest.fixture
def narrow(monkeypatch):
    """Surrogates 16 wide, for graphs of few items."""
    from seapkg.prepare import surrogate

    monkeypatch.setattr(
        download,
        "surrogate_features",
        lambda *graph: surrogate.surrogate_features(*graph, width=16),
    )


def test_surrogates_are_made_labelled_and_kept(server, tmp_path, narrow):
    get(graphed(server), tmp_path, features="surrogate", patience=PATIENCE)
    data = load(tmp_path)
    assert data.features["image"].shape == (40, 16) and data.item_graphs["image"].index.shape == (
        2,
        120,
    )
    np.testing.assert_allclose(
        np.sort(data.item_graphs["image"].cosine)[[0, 40, 80]], [0.3, 0.5, 1], rtol=1e-6
    )
    assert data.provenance == catalogue.SURROGATE_FEATURES
    get(graphed(server), tmp_path, features="surrogate", patience=PATIENCE, offline=True)


def test_surrogates_are_not_taken_for_originals_nor_mixed_with_them(server, tmp_path, narrow):
    dataset = graphed(server)
    get(dataset, tmp_path, features="surrogate", patience=PATIENCE)
    with pytest.raises(DataError, match="image_feat.npy: it is not the original but a surrogate"):
        get(dataset, tmp_path, patience=PATIENCE)
    np.save(tmp_path / "image_feat.npy", np.ones((40, 16)))
    with pytest.raises(DataError, match="image_feat.npy: it is there already and is no surrogate"):
        get(dataset, tmp_path, features="surrogate", patience=PATIENCE)


def test_surrogates_of_what_has_no_graph_and_unknown_choices_are_refused(server, tmp_path):
    with pytest.raises(RequestError, match="shop has no surrogate features"):
        get(shop(server), tmp_path, features="surrogate")
    with pytest.raises(RequestError, match="original, surrogate, none; not 'orignal'"):
        get(shop(server), tmp_path, features="orignal")


def test_the_register_is_sound():
    registry = read_registry(REGISTRY)
    assert list(registry) == ["baby", "sports", "clothing", "lfm2k"]
    for one in registry.values():
        assert (
            one.about
            and one.terms
            and one.by_hand
            and one.part("interactions")
            and one.part("original")
        )
        assert len({file.name for file in one.files}) == len(one.files)
        for file in one.files:
            assert all(url.startswith("https://") for url in file.urls)
            assert file.sha256 is None or (len(file.sha256) == 64 and int(file.sha256, 16))
            assert (file.bytes is None) == (file.sha256 is None) and (
                file.shape or file.columns or file.modality
            )


@pytest.mark.skipif(not SUMS.exists(), reason="the real data is not at hand")
def test_the_registers_sums_are_those_of_the_real_data():
    known = dict(reversed(line.split()) for line in SUMS.read_text().splitlines())
    registry, checked = read_registry(REGISTRY), 0
    for name, one in registry.items():
        for file in one.files:
            if file.part == "interactions" or name == "lfm2k":
                assert file.sha256 == known.get(f"{name}/{file.name}")
                checked += file.sha256 is not None
        for file, value in (one.not_original or {}).items():
            assert known[f"{name}/{file}"] == value
    assert checked == 9


def test_an_unknown_name_and_a_damaged_register_are_one_line(tmp_path):
    with pytest.raises(RequestError, match="did you mean 'sports'"):
        entry("sport")
    (tmp_path / "registry.json").write_text(
        json.dumps({"shop": {"files": [{"name": "../x", "part": "graph"}]}})
    )
    with pytest.raises(DataError, match="the register cannot be read"):
        read_registry(tmp_path / "registry.json")


EIGHT = """
import json, os, sys
from pathlib import Path
from seapkg.data import download
from seapkg.data.registry import entry
from seapkg.prepare.surrogate import surrogate_features
download.surrogate_features = lambda *graph: surrogate_features(*graph, width=16)
register, folder = map(Path, sys.argv[1:])
children = []
for _ in range(8):
    children.append(os.fork())
    if not children[-1]:
        download.get(entry("ring", register), folder, features="surrogate")
        os._exit(0)
sys.exit(sum(os.waitpid(child, 0)[1] for child in children))
"""


def test_eight_processes_that_want_the_same_folder_fetch_and_make_each_file_once(server, tmp_path):
    """Interactions, a published graph, and what is made of it: the item graph and the surrogate features."""
    ring = graphed(server)
    fields = {
        "about": "a ring",
        "terms": "free",
        "n_items": ring.n_items,
        "files": [vars(file) for file in ring.files],
    }
    (tmp_path / "register.json").write_text(json.dumps({"ring": fields}))
    folder = tmp_path / "ring"
    command = [sys.executable, "-c", EIGHT, str(tmp_path / "register.json"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert sorted(path for path, _ in server.asked) == [
        "/image.pt",
        "/test.npy",
        "/train.npy",
        "/valid.npy",
    ]
    wanted = {"train.npy", "valid.npy", "test.npy", "image.pt", "item_knn.npz", "image_feat.npy"}
    assert set(read_record(folder)) == wanted and {
        path.name for path in folder.iterdir()
    } == wanted | {RECORD}
    assert load(folder).features["image"].shape == (40, 16)
