#!/usr/bin/env bash
# Redraws figures/laptop in a scratch copy, from the committed results alone, and shows which tables changed.
#
#     tests/safeguards/redraw.sh [REF]     compares with the tables committed in REF; default HEAD
#
# The copy holds what is in the working tree. No data is needed and nothing is trained but notebook 00's embedded
# example, whose two runs are not committed. Two processes of one thread each take about two minutes; the
# copy is kept, and its place printed. Exit code: 0 no table changed, 1 some did, 2 a notebook failed.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
python="${PYTHON:-$root/.venv/bin/python}"
reference="$(git -C "$root" rev-parse "${1:-HEAD}")"
scratch="$(mktemp -d "${TMPDIR:-/tmp}/seapkg-redraw-XXXXXX")"

git clone -q --no-hardlinks "$root" "$scratch/copy"
cd "$scratch/copy"
git rm -rqf --cached . && find . -mindepth 1 -maxdepth 1 ! -name .git -exec rm -rf {} +
git -C "$root" ls-files -z -co --exclude-standard | (cd "$root" && xargs -0 ls -d 2>/dev/null || true) |
  tar -C "$root" -cf - -T - | tar -xf -
git reset -q "$reference"
rm -rf figures/laptop && git checkout -q "$reference" -- figures/laptop

export PYTHONPATH="$PWD" OMP_NUM_THREADS=1
unset SEAPKG_DATA SEAPKG_STORE SEAPKG_FIGURES
slow=() rest=() first=()
for path in notebooks/[0-9][0-9]_*.ipynb; do
  name="$(basename "$path" .ipynb)"
  case "$name" in
    *_information_bounds) slow+=("$name") ;; # half of the time
    *_start_here) first+=("$name") ;;        # trains
    *) rest+=("$name") ;;
  esac
done
run() { "$python" -m seapkg.studies.notebooks laptop "$@"; }
started=$SECONDS failed=0
run --offline --only "${slow[@]}" >"$scratch/1.log" 2>&1 &
other=$!
{ run --only "${first[@]}" && run --offline --only "${rest[@]}"; } >"$scratch/2.log" 2>&1 || failed=2
wait "$other" || failed=2
grep -h -E '^[0-9a-z_]+ +[0-9.]+ s ' "$scratch"/[12].log | sort
((failed == 0)) || tail -n 40 "$scratch"/[12].log

echo "redrawn in $((SECONDS - started)) s in $scratch/copy; against $reference:"
echo "tables:" && git diff --stat "$reference" -- 'figures/laptop/*.csv'
echo "everything in figures/laptop:" && git diff --stat "$reference" -- figures/laptop
git ls-files --others -- figures/laptop | sed 's/^/new: /'
git diff --quiet "$reference" -- 'figures/laptop/*.csv' || exit $((failed ? failed : 1))
exit "$failed"
