"""Puts this folder on the path, so that every test can import `tiny` and `twins`; keeps all tests on the machine."""

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
    import sitecustomize  # noqa: F401  from the folder above; processes that a test starts find it by themselves
