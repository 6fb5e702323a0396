# Sourced by run_all.sh and run_tests.sh. Sets $python to an interpreter with all requirements.
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
check='import ensurepip, sys, venv
assert (3, 11) <= sys.version_info[:2] < (3, 14)
print(sys._base_executable)'
for name in "$root/.venv/bin/python" python3 python3.13 python3.12 python3.11 python; do
  base="$("$name" -c "$check" 2>/dev/null)" && [[ -n "$base" ]] && break
done
if [[ -z "$base" ]]; then
  echo "set-up: found no Python 3.11, 3.12 or 3.13 with its venv module." \
    "Install one and try again (Debian, Ubuntu: apt install python3 python3-venv)." >&2
  exit 1
fi
python="$("$base" "$root/.ci/environment.py")" || exit 1
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" # this clone's seapkg, whatever is installed
