#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: ./run_tests.sh [pytest arguments]

Sets up if needed, then runs all tests, or those that the arguments choose:

  ./run_tests.sh                          all, in two processes of one thread each
  ./run_tests.sh -n 0 tests/test_graph.py -k knn

SEAPKG_TORCH_INDEX, where set, is the package index that set-up takes torch from.
TEXT
}

# Whether the arguments already say how the tests are spread over processes.
spreads() {
  local argument
  for argument in "$@"; do
    case "$argument" in
      -n* | --numprocesses* | no:xdist | -pno:xdist | --pdb | --trace) return 0 ;;
    esac
  done
  return 1
}

case "${1:-}" in -h | --help) usage; exit 0 ;; esac

cd "$(dirname "${BASH_SOURCE[0]}")"
source .ci/setup.sh
export OMP_NUM_THREADS=1 # two jobs of two threads on two cores are slower than one
spreads "$@" || set -- -n 2 "$@"
exec "$python" -m pytest "$@"
