"""Figures and tables on disk, with an index that names the notebook, data and runs behind each.

The same figure gives the same bytes, and the index holds no time: git shows what has changed.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from seapkg.data import Dataset
from seapkg.data.catalogue import Known
from seapkg.errors import RequestError, SeapkgError
from seapkg.figures.style import style
from seapkg.files import locked, replacing, write_text
from seapkg.runs import locations
from seapkg.runs.run import Run

INDEX = "index.json"
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
Source = Dataset | Known | str


@dataclass(frozen=True)
class Saved:
    """A saved figure, which Jupyter shows above its caption.

    Attributes:
        path: the PNG file.
        caption: the caption, in Markdown.
    """

    path: Path
    caption: str

    def _ipython_display_(self) -> None:
        from IPython.display import Image, Markdown, display

        display(Image(self.path), Markdown(f"*{self.caption}*"))


@style()
def save_figure(figure: Figure, name: str, *, profile: str, caption: str, **origin) -> Saved:
    """Writes figures/PROFILE/NAME.png and .svg and lists them in the index.

    Args:
        figure: the figure.
        name: letters, digits, "-" and "_".
        profile: the profile whose folder receives the figure.
        caption: what the figure shows.
        origin: `notebook`, its name; `runs`, the runs (or their names) behind the figure; `data`,
            a dataset, words, or a list of them.
    """
    folder = _folder(profile, name)
    with replacing(folder / f"{name}.png") as path:
        figure.savefig(path, format="png", metadata={"Software": None})
    with replacing(folder / f"{name}.svg") as path:
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    files = [f"{name}.png", f"{name}.svg"]
    _list(folder, name, kind="figure", files=files, caption=caption, **origin)
    return Saved(folder / files[0], caption)


def save_table(frame: pd.DataFrame, name: str, *, profile: str, caption: str, **origin) -> Path:
    """Writes figures/PROFILE/NAME.csv (every digit) and .md (four decimals) and lists them.

    Args:
        frame: the table.
        name, profile, caption, origin: as in `save_figure`.

    Returns:
        The path of the .md file.
    """
    folder = _folder(profile, name)
    with replacing(folder / f"{name}.csv") as path:
        frame.to_csv(path, index=False, lineterminator="\n")
    write_text(folder / f"{name}.md", markdown(frame))
    files = [f"{name}.csv", f"{name}.md"]
    _list(folder, name, kind="table", files=files, caption=caption, **origin)
    return folder / files[1]


def markdown(frame: pd.DataFrame) -> str:
    """A table in Markdown: numbers with four decimals, at the right; missing ones are empty."""
    is_numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes]
    alignment = ["right" if numeric else "left" for numeric in is_numeric]
    cells = frame.map(_cell).astype(str)
    return cells.to_markdown(index=False, disable_numparse=True, colalign=alignment) + "\n"


def _cell(value: object) -> str:
    if value is None or value != value:  # nan
        return ""
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _folder(profile: str, name: str) -> Path:
    if not SAFE_NAME.fullmatch(name):
        raise RequestError(f"the name {name!r} may hold letters, digits, - and _ only")
    profiles = locations.workplace() / "notebooks" / "profiles"
    known = sorted(path.stem for path in profiles.glob("*.yaml"))
    if not SAFE_NAME.fullmatch(profile) or (known and profile not in known):
        raise RequestError(f"unknown profile {profile!r}; known are {', '.join(known)}")
    folder = locations.figures_root() / profile
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _list(
    folder: Path,
    name: str,
    *,
    kind: str,
    files: list[str],
    notebook: str,
    runs: Iterable[Run | str],
    data: Source | Iterable[Source],
    caption: str,
) -> None:
    """Adds an entry to the index and drops the entries whose files are gone."""
    sources = [data] if isinstance(data, Source) else data
    entry = {
        "kind": kind,
        "files": files,
        "notebook": notebook,
        "caption": " ".join(caption.split()),
        "data": [_description(source) for source in sources],
        "runs": sorted({run if isinstance(run, str) else run.name for run in runs}),
    }
    with locked(folder):
        index = _read_index(folder / INDEX) | {name: entry}
        index = {key: index[key] for key in sorted(index) if _exists(folder, index[key])}
        write_text(folder / INDEX, json.dumps(index, indent=1, ensure_ascii=False) + "\n")
        title = f"# Figures and tables of the profile {folder.name}\n"
        sections = [_section(key, value) for key, value in index.items()]
        write_text(folder / "index.md", "\n".join([title, *sections]))


def _description(source: Source) -> str:
    """A dataset with what is real in it."""
    if isinstance(source, str):
        return source
    provenance = source.provenance or "provenance unknown"
    return source.name if provenance == source.name else f"{source.name}: {provenance}"


def _exists(folder: Path, entry: dict) -> bool:
    return all((folder / file).is_file() for file in entry["files"])


def _read_index(path: Path) -> dict[str, dict]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        message = f"{path} is not valid JSON ({error}); delete it and run the notebooks again"
        raise SeapkgError(message) from error


def _section(name: str, entry: dict) -> str:
    """An entry of index.md."""
    links = [f"[{file}]({file})" for file in entry["files"]]
    shown = f"![{name}]({entry['files'][0]})" if entry["kind"] == "figure" else links[1]
    return f"""## {name}

{shown}

{entry["caption"]}

- files: {", ".join(links)}
- notebook: {entry["notebook"]}
- data: {"; ".join(entry["data"])}
- runs: {", ".join(entry["runs"]) or "none"}
"""
