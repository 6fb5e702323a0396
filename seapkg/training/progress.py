"""Progress on stderr: a bar on a terminal, otherwise one line an epoch."""

from __future__ import annotations

import sys

from tqdm import tqdm


class Progress:
    """Shows batches and epochs.

    Args:
        show: False shows nothing.
        n_done: batches of earlier processes, where training resumes.
    """

    def __init__(self, show: bool, n_done: int = 0) -> None:
        terminal = sys.stderr.isatty()
        self._lines = show and not terminal
        hidden = not (show and terminal)
        self._bar = tqdm(initial=n_done, disable=hidden, unit="batch", dynamic_ncols=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def begin_epoch(self, epoch: int, total: int) -> None:
        """Announces an epoch; `total`: batches until early stopping, if nothing improves."""
        self._bar.total = total
        self._bar.set_description(f"epoch {epoch}")

    def batch(self) -> None:
        """Counts a batch."""
        self._bar.update()

    def end_epoch(self, epoch: int, summary: str) -> None:
        """Shows the summary of an epoch."""
        self._bar.set_postfix_str(summary)
        if self._lines:
            sys.stderr.write(f"epoch {epoch}: {summary}\n")
            sys.stderr.flush()
