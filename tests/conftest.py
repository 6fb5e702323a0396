"""Lets every test import `tiny` and `twins` from this folder, and keeps all tests offline."""

import gc
import os
import sys
from pathlib import Path

LOOPBACK_ONLY = str(Path(__file__).parent / "loopback_only")

if not hasattr(sys.modules.get("sitecustomize"), "LeftTheMachine"):
    sys.path.insert(0, LOOPBACK_ONLY)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [LOOPBACK_ONLY, os.environ.get("PYTHONPATH")])
    )
    sys.modules.pop("sitecustomize", None)
    import sitecustomize  # noqa: F401  processes that a test starts import it by themselves


def pytest_collection_finish():
    """Spares the garbage collection of each training the objects that are here already: .15 s."""
    gc.collect()
    gc.freeze()
