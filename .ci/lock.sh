#!/usr/bin/env bash
# Writes requirements.lock anew, for every Python and system that pyproject.toml allows.
# Needs an environment with torch (the pinned version) and uv: PYTHON=.venv/bin/python .ci/lock.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
header="$(sed -n '/^#/!q;p' requirements.lock)"
pins="$("${PYTHON:-python3}" .ci/requirements.py lock-input | uv pip compile - --universal \
  --python-version 3.11 --fork-strategy fewest --generate-hashes --no-header --no-annotate)"
printf '%s\n\n%s\n' "$header" "$pins" >requirements.lock
