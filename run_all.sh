#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: ./run_all.sh [smoke|laptop|paper] [options]

Sets up if needed, then runs every notebook and draws every figure and table.

  smoke    embedded data, minutes on two cores (default)
  laptop   sized for one machine
  paper    sized as in the papers

Figures and their index come to figures/PROFILE/.

Options go to `python -m seapkg.studies.notebooks PROFILE`; --help lists them. Among them:

  --plan        list what would be trained, and how long; run nothing
  --workers N   train in N processes, then run N notebooks at once (default: the cores, at most 4)
  --scheduler A train on the Dask cluster whose scheduler has the address A (docs/cluster.md)
  --offline     train nothing

SEAPKG_TORCH_INDEX: the package index that set-up takes torch from.
Exit codes: 0 done, 1 something failed, 2 the request is wrong.
TEXT
}

profile="${1:-smoke}"
case "$profile" in
  -h | --help) usage; exit 0 ;;
  smoke | laptop | paper) ;;
  *) echo "run_all.sh: no profile \"$profile\"; choose smoke, laptop or paper" >&2; exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")"
source .ci/setup.sh
# glibc keeps the large arrays that every training step frees, instead of fetching their pages anew.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=2147483647 MALLOC_TOP_PAD_=67108864
exec "$python" -m seapkg.studies.notebooks "$profile" "${@:2}"
