"""Progress on stderr: a bar on a terminal, otherwise one line an epoch."""

from __future__ import annotations

import sys

from tqdm import tqdm

from seapkg.training.early_stopping import MONITOR, EarlyStopping


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

    def end_epoch(self, best: EarlyStopping) -> None:
        """Shows the loss and the valid Recall@20 of the last epoch, and those of the best one."""
        row, highest = best.curves[-1], best.valid[MONITOR]
        valid = f"valid R@20 {row[f'valid/{MONITOR}']:.4f}"
        summary = f"loss {row['loss']:.4f}, {valid}, best {highest:.4f} at epoch {best.best_epoch}"
        self._bar.set_postfix_str(summary)
        if self._lines:
            sys.stderr.write(f"epoch {row['epoch']}: {summary}\n")
            sys.stderr.flush()
