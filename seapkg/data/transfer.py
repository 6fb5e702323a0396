"""One file over HTTP: resumed where it stopped, tried again, then from the mirrors, and put in place whole.

`pooch` checks sums and puts files in place; what it has not is here: a partial download is kept as `NAME.part` and
taken up with a Range request, a server that stalls is given up, and a page in place of a file is recognised.
"""

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests
from tqdm import tqdm

from seapkg.data.records import sha256
from seapkg.data.registry import RemoteFile
from seapkg.errors import DataError
from seapkg.files import write_text

CHUNK = 1 << 13  # what is lost, at most, where a transfer breaks off
MARGIN = 50 * 2**20  # bytes to leave free on the disk
AGAIN = {408, 425, 429, 500, 502, 503, 504}  # statuses that may pass
PAGE = re.compile(rb"\s*(<\?xml[^>]*>\s*)?<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)
HTML_PAGE = "it sent an HTML page in place of the file"


class Refused(Exception):
    """This address will not give the file; the next one may."""


class Dropped(Exception):
    """The transfer broke off; it may be taken up again."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, in seconds, how often to try, and whether to show progress."""

    connect: float = 10.0
    stall: float = 30.0
    tries: int = 4
    pause: float = 1.0
    progress: bool = True


def fetch(file: RemoteFile, folder: Path, check: Callable[[Path], None], patience: Patience) -> str:
    """Puts `file` into `folder` and returns the address it came from.

    `check` raises `DataError` where the content is not what it should be; it is asked before the file gets its name.
    Raises `DataError` with the reason of each address when none gave the file.
    """
    reasons = []
    for url in file.urls:
        try:
            _fetch_from(url, file, folder, check, patience)
            return url
        except Refused as reason:
            reasons.append(f"{url}: {reason}")
    raise DataError(
        f"{folder / file.name} could not be downloaded ({'; '.join(reasons)}). Try again later, which goes on from "
        "what was kept, or place the file there by hand (data/README.md)."
    )


def check_space(folder: Path, needed: int) -> None:
    """Raises `DataError` unless `needed` bytes, and some more, are free where `folder` is or will be."""
    there = next(place for place in (folder, *folder.resolve().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < needed + MARGIN:
        raise DataError(
            f"{folder}: {(needed + MARGIN) / 2**20:.0f} MB of space are needed and {free / 2**20:.0f} MB are free. "
            "Make room, or choose another folder with --folder."
        )


def _fetch_from(url: str, file: RemoteFile, folder: Path, check, patience: Patience) -> None:
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    known = f"sha256:{file.sha256}" if file.sha256 else None
    for again in (True, False):
        stream = Resuming(file, folder, check, patience)
        try:
            pooch.retrieve(url, known, fname=file.name, path=folder, downloader=stream)
            return
        except ValueError as error:  # pooch's word for a wrong sum
            if not (again and stream.resumed):  # two halves may not have been of the same file
                raise Refused("its sha256 is not the registered one") from error


class Resuming:
    """A downloader for pooch that keeps what it has in `NAME.part`, beside `NAME.part.json` with the version of it."""

    def __init__(
        self, file: RemoteFile, folder: Path, check: Callable[[Path], None], patience: Patience
    ):
        self.file, self.check, self.patience = file, check, patience
        self.part = folder / f"{file.name}.part"
        self.version = folder / f"{file.name}.part.json"
        self.resumed = False

    def __call__(self, url: str, output_file: str, pooch: object, check_only: bool = False) -> None:
        if not self._is_complete():
            self._receive_patiently(url)
        self._hand_over(Path(output_file))

    def _is_complete(self) -> bool:
        """Whether the part is the whole file already, of which only the name is missing."""
        if not self.file.sha256 or self._held() != self.file.bytes:
            return False
        self.resumed = True
        return sha256(self.part) == self.file.sha256

    def _receive_patiently(self, url: str) -> None:
        """Tries as often as patience has it without getting on; an attempt that went on from the last counts anew."""
        failures = 0
        while True:
            before = self._held()
            try:
                return self._receive(url)
            except Dropped as reason:
                failures = 1 if self.resumed and self._held() > before else failures + 1
                if failures == self.patience.tries:
                    raise Refused(f"{reason}, {failures} times") from reason
                time.sleep(self.patience.pause * 2 ** (failures - 1))

    def _held(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _hand_over(self, target: Path) -> None:
        self.version.unlink(missing_ok=True)
        try:
            with self.part.open("rb") as stream:
                if PAGE.match(stream.read(512)):
                    raise Refused(HTML_PAGE)
            if not self.file.sha256:  # else the sum says more
                self.check(self.part)
        except DataError as error:
            self.part.unlink()
            raise Refused(str(error)) from error
        except Refused:
            self.part.unlink()
            raise
        os.replace(self.part, target)

    def _receive(self, url: str) -> None:
        wait = (self.patience.connect, self.patience.stall)
        try:
            with requests.get(
                url, headers=self._headers(url), stream=True, timeout=wait
            ) as response:
                self._write(response, url)
        except requests.Timeout as error:
            raise Dropped("the server stalled") from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise Refused(str(error)) from error
        except requests.RequestException as error:
            stalled = "timed out" in str(error)
            raise Dropped(
                "the server stalled" if stalled else "the connection failed or broke off"
            ) from error

    def _headers(self, url: str) -> dict[str, str]:
        """Asks for the rest of a part, if it can be known to be the same file: by its sum or by its version."""
        plain = {"Accept-Encoding": "identity"}
        size, version = self._held(), self._read_version()
        same = version.get("url") == url and version.get("etag")
        if not size or not (self.file.sha256 or same):
            return plain
        return plain | {"Range": f"bytes={size}-"} | ({"If-Range": version["etag"]} if same else {})

    def _read_version(self) -> dict[str, str]:
        """What the part is of; nothing where that is not known, or no longer readable."""
        try:
            version = json.loads(self.version.read_text())
            return version if isinstance(version, dict) else {}
        except (OSError, ValueError):
            return {}

    def _note_version(self, url: str, etag: str) -> None:
        write_text(
            self.version, json.dumps({"url": url, "etag": "" if etag.startswith("W/") else etag})
        )

    def _write(self, response: requests.Response, url: str) -> None:
        start = self._start(response)
        total = self._total(response, start)
        self.part.parent.mkdir(parents=True, exist_ok=True)
        if not start:
            self._note_version(url, response.headers.get("ETag", ""))
        self.resumed = self.resumed or start > 0
        quiet = not self.patience.progress
        bar = tqdm(
            total=total,
            initial=start,
            unit="B",
            unit_scale=True,
            desc=self.file.name,
            disable=quiet,
        )
        with bar, self.part.open("ab" if start else "wb") as stream:
            for chunk in response.iter_content(CHUNK):
                stream.write(chunk)
                bar.update(len(chunk))
        held = self.part.stat().st_size
        if total is not None and held != total:
            if held > total:
                self.part.unlink()
            raise Dropped(f"the body ended after {held} of {total} bytes")

    def _start(self, response: requests.Response) -> int:
        """Where the body begins in the file. Raises where there is no file in it."""
        status = response.status_code
        if status == 416:  # the part is no beginning of this file
            self.part.unlink(missing_ok=True)
            raise Dropped("it cannot go on where an earlier download stopped")
        if status in AGAIN:
            raise Dropped(f"HTTP {status}")
        if status not in (200, 206):
            raise Refused(f"HTTP {status}")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise Refused(HTML_PAGE)
        if status == 200:
            return 0
        found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != self.part.stat().st_size:
            self.part.unlink()
            raise Dropped("it sent another range than was asked for")
        return int(found[1])

    def _total(self, response: requests.Response, start: int) -> int | None:
        """Size of the whole file as the server has it, None where it does not say; the registered size must match."""
        length = response.headers.get("Content-Length")
        encoded = response.headers.get("Content-Encoding", "identity") != "identity"
        total = None if encoded or length is None else start + int(length)
        if self.file.bytes is None:
            check_space(self.part.parent, (total or 0) - start)
            return total
        if total not in (None, self.file.bytes):
            raise Refused(f"its size is {total} bytes, not {self.file.bytes}")
        return self.file.bytes
