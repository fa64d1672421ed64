#!/bin/sh
# Makes a virtual environment and installs a lock file into it: environment.sh FOLDER LOCK_FILE [PYTHON]
# With uv where it works (seconds), else with venv and pip (minutes). Says in one sentence what is missing.
set -eu
folder=$1
lock=$2
python=${3:-}

fail() {
    echo "$1" >&2
    exit 1
}

if [ -z "$python" ]; then
    for candidate in python3.11 python3.12 python3.13 python3.14 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || fail "Countersign needs Python 3.11 or newer and found none: install it, or say make PYTHON=/path/to/python3.11 …"
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "Countersign needs Python 3.11 or newer; $python is $("$python" -V 2>&1 || echo "not there"). Say make PYTHON=/path/to/python3.11 …"

# uv alone knows why it fails where it does (certificates, an index it was not told of); pip may know better.
with_uv() {
    uv --version >/dev/null 2>&1 || return 1
    [ -x "$folder/bin/python" ] || uv venv -q --python "$python" "$folder" || return 1
    uv pip install -q --no-deps --require-hashes --python "$folder/bin/python" -r "$lock" && return
    echo "uv could not install the packages of $lock: trying pip." >&2
    return 1
}
with_uv && exit

"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "The venv module of $python is missing: install it (on Debian and Ubuntu: apt-get install python3-venv), then try again."
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder" || fail "$python could not make $folder; its words are above."
"$folder/bin/python" -m pip --version >/dev/null 2>&1 || "$folder/bin/python" -m ensurepip >/dev/null
echo "Installing the packages of $lock; the first time takes a few minutes."
"$folder/bin/python" -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r "$lock" ||
    fail "The packages of $lock could not be installed; pip's words are above."
