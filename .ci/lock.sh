#!/usr/bin/env bash
# Writes requirements.lock anew, for every Python and system that pyproject.toml allows.
# Needs an environment with torch (the pinned version) and uv: PYTHON=.venv/bin/python .ci/lock.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
requirements='import tomllib
from importlib.metadata import requires
declared = tomllib.load(open("pyproject.toml", "rb"))
project = declared["project"]
ours = project["dependencies"] + project["optional-dependencies"]["test"]
of_torch = [text for text in requires("torch") if ";" not in text]  # those of every machine
ours = [text for text in ours if not text.startswith("torch")]
print(*ours, *of_torch, *declared["build-system"]["requires"], sep="\n")'
header="$(sed -n '/^#/!q;p' requirements.lock)"
pins="$("${PYTHON:-python3}" -c "$requirements" | uv pip compile - --universal \
  --python-version 3.11 --fork-strategy fewest --generate-hashes --no-header --no-annotate)"
printf '%s\n\n%s\n' "$header" "$pins" >requirements.lock
