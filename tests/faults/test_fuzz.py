"""Random broken files: each reads as what it is, or is refused in the package's own words; nothing
in them is run.

1 000 cases in all. A case is its number: the same one breaks the same file in the same way.
"""

import functools
import io
import json
import pickle
import random
import shutil
import warnings
import zipfile

import builders as b
import numpy as np
import pytest
import torch
from numpy.lib import format as npy
from tiny import tiny

from seapkg.data.dataset import Dataset
from seapkg.data.read import read_folder
from seapkg.data.records import read_record
from seapkg.errors import SeapkgError
from seapkg.models import build
from seapkg.models.vbpr import VBPRConfig
from seapkg.prepare.surrogate import read_graph
from seapkg.runs import archive
from seapkg.runs.store import Store
from seapkg.runs.train import plan
from seapkg.training import TrainingConfig, fit
from seapkg.training.checkpoint import Checkpoint

BATCHES, PER_BATCH = 10, 100  # of cases
TOKENS = [
    "",
    " ",
    "-1",
    "1e3",
    "nan",
    "inf",
    "0x1",
    "9" * 40,
    str(2**63),
    "'",
    '"',
    "\x00",
    "\ufeff",
    "٣",
    "\u2028",
    "🙂",
]
DTYPES = [
    "<i8",
    ">i4",
    "<u8",
    "<f8",
    "<f2",
    "<c16",
    "|b1",
    "<U5",
    "|S3",
    "<M8[D]",
    "|V7",
    "<i1",
    "|O",
]
BIG = [0, 1, 2, 3, 7, -1, 2**31, 2**62, 10**30]


ALARM: list[str] = []


def ring() -> None:
    ALARM.append("run")


class Payload:
    """What unpickling would run: it raises an alarm."""

    def __reduce__(self):
        return (ring, ())


def test_the_alarm_would_be_heard():
    pickle.loads(pickle.dumps(Payload()))
    assert ALARM.pop() == "run" and ALARM == []


def header(random_, dtype=None, shape=None) -> bytes:
    """An array's header, of any form and truth."""
    stream = io.BytesIO()
    shape = (
        tuple(random_.choice(BIG) for _ in range(random_.randrange(4))) if shape is None else shape
    )
    facts = {
        "descr": dtype or random_.choice(DTYPES),
        "fortran_order": random_.random() < 0.3,
        "shape": shape,
    }
    npy.write_array_header_2_0(stream, facts)
    return stream.getvalue() + random_.randbytes(random_.randrange(80))


def an_array(random_) -> bytes:
    """A whole .npy of some dtype and shape that nobody asked for; objects carry a payload."""
    stream = io.BytesIO()
    shape = tuple(random_.randrange(5) for _ in range(random_.randrange(4)))
    dtype = np.dtype(random_.choice(DTYPES))
    if dtype.hasobject:
        np.save(stream, np.full(shape, Payload(), dtype=object), allow_pickle=True)
    else:
        size = int(np.prod(shape)) * dtype.itemsize
        np.save(
            stream,
            np.frombuffer(random_.randbytes(size), dtype=np.uint8).view(dtype).reshape(shape),
        )
    return stream.getvalue()


def an_archive(random_, content: bytes) -> bytes:
    """A .npz with members of odd names, sizes and kinds beside what was there."""
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # names that occur twice are meant
        with zipfile.ZipFile(io.BytesIO(content)) as before:
            for info in before.infolist():
                if random_.random() < 0.7:
                    archive.writestr(info.filename, before.read(info))
        for _ in range(random_.randrange(1, 3)):
            name = random_.choice(
                ["../../out", "/etc/out", "image_index", "a/b", "", "facts", "users", "x" * 300]
            )
            info = zipfile.ZipInfo(f"{name}.npy")
            if random_.random() < 0.3:
                info.external_attr = 0o120777 << 16  # a link
            archive.writestr(
                info, random_.choice([an_array(random_), header(random_), random_.randbytes(30)])
            )
    return stream.getvalue()


@functools.cache
def a_bomb() -> bytes:
    """A small archive that unpacks to 300 MB."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("image_index.npy", "w") as member,
    ):
        member.write(header(random.Random(0), "<i4", (2, 300 * 2**20 // 8)))
        for _ in range(300):
            member.write(bytes(2**20))
    return stream.getvalue()


def anything(random_, depth: int = 0):
    """Some JSON value."""
    kind = random_.randrange(7 if depth < 2 else 5)
    if kind == 5:
        return [anything(random_, depth + 1) for _ in range(random_.randrange(3))]
    if kind == 6:
        return {
            random_.choice(TOKENS): anything(random_, depth + 1)
            for _ in range(random_.randrange(3))
        }
    return [
        None,
        random_.random() < 0.5,
        random_.choice(BIG),
        random_.random() * 1e308,
        random_.choice(TOKENS),
    ][kind]


def other_value(random_, value):
    """JSON `value` with one place, anywhere in it, holding something else or missing."""
    if isinstance(value, dict) and value and random_.random() < 0.9:
        key = random_.choice(list(value))
        changed = {**value, key: other_value(random_, value[key])}
        return {k: v for k, v in changed.items() if k != key or random_.random() < 0.8}
    if isinstance(value, list) and value and random_.random() < 0.9:
        at = random_.randrange(len(value))
        return [*value[:at], other_value(random_, value[at]), *value[at + 1 :]]
    return anything(random_)


def other_bytes(random_, content: bytes) -> bytes:
    """Cut, spliced, flipped, repeated or replaced somewhere."""
    at, end = sorted(random_.randrange(len(content) + 1) for _ in range(2))
    return random_.choice(
        [
            content[:at],
            content[end:],
            content[:at] + random_.randbytes(end - at) + content[end:],
            content[:at] + random_.randbytes(random_.randrange(9)) + content[at:],
            content[:end] + content[at:],
            content[:at] + bytes([random_.randrange(256)]) + content[at + 1 :],
            random_.randbytes(len(content)),
            pickle.dumps(Payload()),
        ]
    )


def other_text(random_, content: bytes) -> bytes:
    """A table with some of its fields, lines or letters changed."""
    lines = [line.split(b"\t") for line in content.split(b"\n")]
    for _ in range(random_.randrange(1, 4)):
        line = random_.choice(lines)
        change = random_.randrange(5)
        if change == 0:
            line[random_.randrange(len(line))] = random_.choice(TOKENS).encode()
        elif change == 1:
            line[random_.randrange(len(line))] = random_.randbytes(3)
        elif change == 2:
            lines.append(list(line))
        elif change == 3:
            line.append(b"1")
        elif len(lines) > 1:
            lines.remove(line)
    return random_.choice([b"\n", b"\r\n", b"\n\n", b"\r"]).join(b"\t".join(line) for line in lines)


def broken(random_, name: str, content: bytes) -> bytes:
    """`content` of the file `name`, broken in a way that its form suggests, or in any."""
    if random_.random() < 0.3:
        return other_bytes(random_, content)
    if name.endswith(".npy"):
        return random_.choice([an_array, header])(random_)
    if name.endswith(".npz"):
        return a_bomb() if random_.random() < 0.02 else an_archive(random_, content)
    if name.endswith(".json"):
        return json.dumps(other_value(random_, json.loads(content))).encode()
    return other_text(random_, content)


def check(read, right) -> bool:
    """Whether `read()` refuses in the package's own words; else it must give what is `right`.

    All else fails here.
    """
    try:
        found = read()
    except SeapkgError as error:
        assert error.exit_code == 2 and str(error) and "\n" not in str(error)
        return True
    assert right(found)
    return False


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One right file of every kind that is read: data, a record, a published graph, a run and a
    checkpoint.
    """
    root = tmp_path_factory.mktemp("whole")
    for name in ("inter", "arrays"):
        (root / name).mkdir()
        (b.write_inter if name == "inter" else b.write_splits)(root / name)
        b.write_graph(b.write_features(root / name, image=b.features(3), text=b.features(2)))
        (root / name / "items.tsv").write_text("itemID\tname\n0\ta\n1\tb\n2\tc\n3\td\n")
    (root / "records").mkdir()
    noted = {"train.npy": {"sha256": "0" * 64, "bytes": 3, "origin": "placed by hand"}}
    (root / "records" / "downloads.json").write_text(json.dumps(noted))
    (root / "graph").mkdir()
    ring = torch.stack([torch.arange(9), (torch.arange(9) + 1) % 9])
    torch.save(torch.sparse_coo_tensor(ring, torch.ones(9), (9, 9)), root / "graph" / "image.pt")
    data, spec = _data(), _spec()
    store = Store(root / "store")
    model = _model()
    checkpoint = store.checkpoint(spec)
    checkpoint.every = 0
    store.root.mkdir()
    fitted = fit(model, data, TRAINING, device="cpu", progress=False, checkpoint=checkpoint)
    store.save(spec, archive.pack(spec, fitted, model=model, dataset=data))
    return root


TRAINING = TrainingConfig(max_epochs=1, batch_size=12)


def _data() -> Dataset:
    return tiny("image", "text", n_items=30)


def _model():
    return build("vbpr", _data(), VBPRConfig(embed_dim=8), 0)


def _spec():
    return plan("vbpr", _data(), max_epochs=1, batch_size=12, embed_dim=8).spec


def read_any_folder(folder, target):
    return check(
        lambda: read_folder(folder), lambda data: isinstance(data, Dataset) and data.train.ndim == 2
    )


def read_any_record(folder, target):
    return check(lambda: read_record(folder), lambda record: isinstance(record, dict))


def read_any_graph(folder, target):
    return check(lambda: read_graph(target, 9), lambda graph: graph[0].shape[0] == 2)


@functools.cache
def _whole_run():
    return fit(_model(), _data(), TRAINING, device="cpu", progress=False)


def read_any_store(folder, target):
    store, spec = Store(folder), _spec()

    def everything():
        run = store.get(spec.name)
        (
            run.summary(),
            run.valid,
            run.test,
            run.provenance,
            len(run.curves),
            len(run.per_user),
            run.arrays("state.npz"),
        )
        return run

    if target.name.startswith(".training"):
        model, data = _model(), _data()
        checkpoint = Checkpoint(target, spec.key)
        return check(
            lambda: fit(model, data, TRAINING, device="cpu", progress=False, checkpoint=checkpoint),
            lambda fitted: (
                fitted.valid == _whole_run().valid
            ),  # taken up or started anew, it ends alike
        )
    return check(everything, lambda run: run.name == spec.name)


KINDS = {
    "inter": read_any_folder,
    "arrays": read_any_folder,
    "records": read_any_record,
    "graph": read_any_graph,
    "store": read_any_store,
}


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_broken_file_is_refused_or_read_and_never_run(batch, whole, tmp_path):
    refused = 0
    for case in range(batch * PER_BATCH, (batch + 1) * PER_BATCH):
        random_ = random.Random(case)
        kind = random_.choice(list(KINDS))
        folder = shutil.copytree(whole / kind, tmp_path / kind)
        target = random_.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
        target.write_bytes(broken(random_, target.name, target.read_bytes()))
        try:
            refused += KINDS[kind](folder, target)
        except BaseException as error:
            raise AssertionError(f"case {case}: {kind}, {target.name}") from error
        shutil.rmtree(folder)
    assert refused > PER_BATCH / 4, "hardly anything was broken"
    assert ALARM == []
