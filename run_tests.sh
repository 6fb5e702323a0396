#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: ./run_tests.sh [pytest arguments]

Sets up if needed, then runs all tests, or those that the arguments choose:

  ./run_tests.sh                          all, in two processes of one thread each
  ./run_tests.sh -n 0 tests/graph -k knn  some, in one process

SEAPKG_TORCH_INDEX: the package index that set-up takes torch from.
TEXT
}

case "${1:-}" in -h | --help) usage; exit 0 ;; esac

cd "$(dirname "${BASH_SOURCE[0]}")"
source .ci/setup.sh
# glibc keeps the large arrays that every training step frees, instead of fetching their pages anew.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=2147483647 MALLOC_TOP_PAD_=67108864
export OMP_NUM_THREADS=1 # two processes of two threads on two cores are slower than one
exec "$python" -m pytest -n 2 "$@"
