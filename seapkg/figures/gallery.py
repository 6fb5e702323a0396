"""Figures and tables on disk, each with the notebook, data and runs behind it in one index.

The same figure gives the same bytes, and an index has no clock in it: what git shows as changed has changed.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from seapkg.data import Dataset
from seapkg.data.catalogue import Known
from seapkg.errors import RequestError, SeapkgError
from seapkg.figures import main
from seapkg.files import locked, replacing, write_text
from seapkg.runs import locations
from seapkg.runs.run import Run
from seapkg.studies.profiles import PROFILES

INDEX = "index.json"


@dataclass(frozen=True)
class Saved:
    """A figure's PNG and its caption; as the last line of a cell, Jupyter shows the one above the other."""

    path: Path
    caption: str

    def _ipython_display_(self) -> None:
        from IPython.display import Image, Markdown, display

        display(Image(self.path), Markdown(f"*{self.caption}*"))


def save_figure(
    figure: Figure,
    name: str,
    *,
    profile: str,
    notebook: str,
    runs: Iterable[Run | str],
    data: Dataset | Known | str | Iterable[Dataset | Known | str],
    caption: str,
) -> Saved:
    """Writes figures/PROFILE/NAME.png and .svg and enters them in the index. A notebook shows what is returned.

    `runs`: the runs behind the figure. `data`: what it shows, with what is real in it: a dataset or words.
    """
    folder = _folder(profile, name)
    with main.style():
        with replacing(folder / f"{name}.png") as path:
            figure.savefig(path, format="png", metadata={"Software": None})
        with replacing(folder / f"{name}.svg") as path:
            figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    _enter(folder, name, "figure", [f"{name}.png", f"{name}.svg"], notebook, runs, data, caption)
    return Saved(folder / f"{name}.png", caption)


def save_table(
    frame: pd.DataFrame,
    name: str,
    *,
    profile: str,
    notebook: str,
    runs: Iterable[Run | str],
    data: Dataset | Known | str | Iterable[Dataset | Known | str],
    caption: str,
) -> Path:
    """Writes figures/PROFILE/NAME.csv (every digit) and .md (four decimals), indexed. Returns the path of the .md."""
    folder = _folder(profile, name)
    with replacing(folder / f"{name}.csv") as path:
        frame.to_csv(path, index=False, lineterminator="\n")
    write_text(folder / f"{name}.md", markdown(frame))
    _enter(folder, name, "table", [f"{name}.csv", f"{name}.md"], notebook, runs, data, caption)
    return folder / f"{name}.md"


def markdown(frame: pd.DataFrame) -> str:
    """The table in Markdown: four decimals, nothing where there is no number, numbers to the right."""
    numeric = [pd.api.types.is_numeric_dtype(frame[column]) for column in frame.columns]
    lines = [list(map(str, frame.columns)), ["---:" if right else "---" for right in numeric]]
    lines += [[_cell(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4f}"
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def _folder(profile: str, name: str) -> Path:
    if profile not in PROFILES:
        raise RequestError(f"no profile {profile!r}; there are {', '.join(PROFILES)}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise RequestError(f"a figure's name has letters, digits, - and _ only; it is {name!r}")
    folder = locations.figures_root() / profile
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _enter(
    folder: Path, name: str, kind: str, files: list[str], notebook: str, runs, data, caption: str
) -> None:
    entry = {
        "kind": kind,
        "files": files,
        "notebook": notebook,
        "caption": " ".join(caption.split()),
        "data": _data_words(data),
        "runs": sorted({run if isinstance(run, str) else run.name for run in runs}),
    }
    with locked(folder):
        index = {
            key: value for key, value in _read_index(folder).items() if _is_there(folder, value)
        }
        index = dict(sorted({**index, name: entry}.items()))
        write_text(folder / INDEX, json.dumps(index, indent=1, ensure_ascii=False) + "\n")
        write_text(folder / "index.md", _index_page(folder.name, index))


def _read_index(folder: Path) -> dict[str, dict]:
    path = folder / INDEX
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise SeapkgError(
            f"{path} cannot be read ({error}): delete it and run the notebooks again"
        ) from error


def _is_there(folder: Path, entry: dict) -> bool:
    return all((folder / file).is_file() for file in entry["files"])


def _data_words(data: Dataset | Known | str | Iterable[Dataset | Known | str]) -> list[str]:
    one = isinstance(data, Dataset | Known | str)
    return [_one_data(item) for item in ([data] if one else data)]


def _one_data(data: Dataset | Known | str) -> str:
    if isinstance(data, str):
        return data
    said = data.provenance or "what is real in it is not known"
    return data.name if said == data.name else f"{data.name}: {said}"


def _index_page(profile: str, index: dict[str, dict]) -> str:
    blocks = [f"# Figures and tables of the profile {profile}\n"]
    for name, entry in index.items():
        shown = entry["files"][0]
        picture = (
            f"![{name}]({shown})"
            if entry["kind"] == "figure"
            else f"[{entry['files'][1]}]({entry['files'][1]})"
        )
        lines = [f"## {name}\n", f"{picture}\n", f"{entry['caption']}\n"]
        files = ", ".join(f"[{file}]({file})" for file in entry["files"])
        lines += [
            f"- files: {files}",
            f"- notebook: {entry['notebook']}",
            f"- data: {'; '.join(entry['data'])}",
        ]
        lines += [f"- runs: {', '.join(entry['runs']) or 'none'}\n"]
        blocks.append("\n".join(lines))
    return "\n".join(blocks)
