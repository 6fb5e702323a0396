"""Nothing listens beyond loopback, nothing phones home: the suite runs with `loopback_only`, and
here that is tried.

`.ci/run` runs the notebooks with it as well.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from sitecustomize import LeftTheMachine

from seapkg.studies import notebooks

ELSEWHERE = "192.0.2.1"  # RFC 5737: an address for documentation, nobody's
LISTENING = """
from contextlib import suppress
from pathlib import Path
links = set()
for number in os.listdir("/proc/self/fd"):
    with suppress(OSError):  # closed since it was listed
        links.add(os.readlink(f"/proc/self/fd/{number}"))
own = {link[8:-1] for link in links if link.startswith("socket:")}
lists = [Path(f"/proc/self/net/{name}").read_text() for name in ("tcp", "tcp6")]
rows = [row.split() for text in lists for row in text.splitlines()[1:]]
places = {row[1].split(":")[0] for row in rows if row[3] == "0A" and row[9] in own}
"""


@pytest.mark.parametrize(
    "leave",
    [
        lambda: socket.create_connection((ELSEWHERE, 80), timeout=1),
        lambda: socket.socket().connect((ELSEWHERE, 80)),
        lambda: socket.socket().bind(("", 0)),
        lambda: socket.socket().bind(("0.0.0.0", 0)),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (ELSEWHERE, 53)),
        lambda: socket.getaddrinfo("example.org", 80),
        lambda: socket.gethostbyname("example.org"),
    ],
)
def test_leaving_the_machine_is_refused(leave):
    with pytest.raises(LeftTheMachine):
        leave()


def test_the_machine_itself_can_be_spoken_to():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        socket.create_connection(server.getsockname(), timeout=5).close()


def test_processes_that_a_test_starts_stay_too():
    script = f"import socket; socket.create_connection(({ELSEWHERE!r}, 80), timeout=1)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 1 and "LeftTheMachine" in done.stderr


@pytest.mark.notebook
@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="reads Linux's list of sockets")
def test_a_notebooks_kernel_stays_and_listens_on_loopback_alone(tmp_path):
    """No hook of Python sees the ports of ZeroMQ, so the test reads the system's list."""
    cells = [
        "import os, socket\nfrom sitecustomize import LeftTheMachine",
        f"try:\n    socket.create_connection(({ELSEWHERE!r}, 80), 1)\n"
        "except LeftTheMachine:\n    print('stays')",
        f"{LISTENING}\nprint(sorted(places))",
    ]
    path = tmp_path / "00_sockets.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in cells]), path)
    assert notebooks.execute(notebooks.Job(path, {}, {}), tmp_path / "copy.ipynb") == ""
    said = [
        cell.outputs[0].text.strip()
        for cell in nbformat.read(tmp_path / "copy.ipynb", 4).cells
        if cell.outputs
    ]
    assert said == ["stays", "['0100007F']"]  # 127.0.0.1, as the system writes it
