# Sourced by run_all.sh and run_tests.sh, from any shell option set. Leaves in $python an
# interpreter that has everything pyproject.toml asks for: the active environment where that
# is complete, else .venv, which is made here.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
venv="$root/.venv"
ready="$venv/.seapkg-ready"           # holds the hash of what .venv was made from
unfinished="$venv/.seapkg-unfinished" # there from the first step of set-up to the last

say() { echo "set-up: $*" >&2; }

fail() {
  say "$*"
  exit 1
}

fingerprint() {
  cat "$root/requirements.lock" "$root/pyproject.toml" | if command -v sha256sum >/dev/null; then
    sha256sum
  else
    shasum -a 256
  fi
}

# Prints the interpreter behind $1 (not a link into some .venv) where seapkg supports its version
# and it can make environments. Running it is the only proof: pyenv has shims that do not run.
usable() {
  "$1" -c 'if True:
    import ensurepip, sys, venv
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        sys.exit(1)
    print(sys._base_executable)' 2>/dev/null
}

find_python() {
  local name
  for name in python3 python3.13 python3.12 python3.11 python; do
    usable "$name" && return
  done
  fail "no Python 3.11, 3.12 or 3.13 with its venv module: install one and run this again" \
    "(on Debian and Ubuntu: apt install python3 python3-venv)"
}

# What the interpreter $1 lacks; fails when there is something.
lacking() { "$1" "$root/.ci/requirements.py" missing 2>/dev/null; }

# Uses the active environment where it is complete.
use_active() {
  local active="${VIRTUAL_ENV:-${CONDA_PREFIX:-}}" lacks
  [[ -n "$active" && ! "$active" -ef "$venv" && -x "$active/bin/python" ]] || return 1
  if lacks="$(lacking "$active/bin/python")"; then
    python="$active/bin/python"
    say "using the active environment $active"
  else
    say "the active environment $active lacks ${lacks:-a Python that runs}; using .venv instead"
    return 1
  fi
}

# Whether .venv is what set-up finished making from today's lock, or somebody made it complete.
venv_is_ready() {
  [[ -x "$venv/bin/python" && ! -e "$unfinished" ]] || return 1
  if [[ -e "$ready" ]]; then
    [[ "$(<"$ready")" == "$(fingerprint)" ]]
  else
    lacking "$venv/bin/python" >/dev/null
  fi
}

# One set-up at a time: the lock lives in descriptor 9, until that is closed. Python takes it
# because the flock command is not everywhere.
lock() {
  exec 9<"$root/.ci/setup.sh"
  "$1" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null && return
  say "another set-up is at work here; waiting for it"
  "$1" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
}

# An empty .venv, marked as unfinished before anything else is in it.
make_venv() {
  [[ ! -e "$unfinished" ]] || say "an earlier set-up did not finish; starting over"
  say "making .venv with $1"
  rm -rf "$venv" && mkdir "$venv" && : >"$unfinished" && "$1" -m venv --without-pip "$venv"
}

# Keeps a .venv that only needs newer packages, makes one otherwise.
prepare_venv() {
  if [[ ! -x "$venv/bin/python" || -e "$unfinished" ]]; then
    make_venv "$1"
  elif usable "$venv/bin/python" >/dev/null; then
    say "bringing .venv up to date"
  elif [[ -e "$ready" ]]; then
    make_venv "$1"
  else
    fail ".venv was not made by this set-up and its Python is not 3.11 to 3.13: move it away"
  fi
}

pip_install() {
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

install() {
  local torch
  torch="$(sed -n 's/^# *\(torch==[^ ]*\)$/\1/p' "$root/requirements.lock")"
  : >"$unfinished" && rm -f "$ready" &&
    "$venv/bin/python" -m ensurepip >/dev/null &&
    say "1 of 3: $torch, the large one" &&
    pip_install ${SEAPKG_TORCH_INDEX:+--index-url "$SEAPKG_TORCH_INDEX"} "$torch" &&
    say "2 of 3: what requirements.lock pins" &&
    pip_install --require-hashes -r "$root/requirements.lock" &&
    say "3 of 3: seapkg itself" &&
    pip_install --no-deps --no-build-isolation --editable "$root" &&
    fingerprint >"$ready" && rm "$unfinished"
}

build_venv() {
  local base
  base="$(find_python)" || exit 1
  lock "$base"
  if ! venv_is_ready; then # it is, where another set-up has just made it
    prepare_venv "$base" && install || fail "did not finish, see above; run this again to start over"
  fi
  exec 9<&-
}

if ! use_active; then
  venv_is_ready || build_venv
  python="$venv/bin/python"
  say "using .venv"
fi
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" # this clone's seapkg, whatever is installed
