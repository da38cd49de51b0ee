# Shared by the scripts of this folder; sourced, never run.
# shellcheck shell=bash
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Everything that set-up creates lives here, outside the tree.
DAVY_CACHE=${DAVY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/davy}
mkdir -p "$DAVY_CACHE"
export ROOT DAVY_CACHE

say() { printf '%s  %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Prints the path of a Python of a minor version (3.11 unasked), or nothing. A pyenv shim that exists but
# has no such version behind it answers with an error, so each one is tried.
find_python() {
    local minor=${1:-3.11} candidate
    for candidate in "${DAVY_PYTHON:-}" "python$minor" python3 "$HOME"/.pyenv/versions/"$minor".*/bin/"python$minor" \
        "/usr/bin/python$minor" "/usr/local/bin/python$minor"; do
        [ -n "$candidate" ] || continue
        "$candidate" -c 'import sys, ensurepip
if "%d.%d" % sys.version_info[:2] != sys.argv[1]: sys.exit(1)
print(sys.executable)' "$minor" 2>/dev/null && return 0
    done
    return 1
}

# apt-get install, as root or through sudo; fails if neither is possible.
apt_install() {
    command -v apt-get >/dev/null || return 1
    local as=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || return 1
        as=(sudo)
    fi
    say "installing $* (apt)"
    "${as[@]}" apt-get update -qq >&2 || true # one broken source must not keep the others from serving
    "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# Sets JAVA_HOME to a JDK 17 when it is not set to one, if one can be found.
use_java() {
    local home
    for home in "${JAVA_HOME:-}" /usr/lib/jvm/java-17-openjdk-* /usr/lib/jvm/*17*; do
        if [ -n "$home" ] && [ -x "$home/bin/javac" ] && "$home/bin/javac" -version 2>&1 | grep -q ' 17\.'; then
            export JAVA_HOME=$home PATH="$home/bin:$PATH"
            return 0
        fi
    done
    return 1
}
