# Sourced by the steps: scratch folder, a product's copy under git, a sandbox, and the end of everything that was started.
# shellcheck shell=bash

scratch=$(mktemp -d)
started=()

# Ends every process that this step started, newest first, by its id; bounded, then by force. A step's own clean-up is `leave`.
finish() {
    local code=$? index
    for ((index = ${#started[@]} - 1; index >= 0; index--)); do end "${started[index]}"; done
    if declare -F leave >/dev/null; then leave; fi
    rm -rf "$scratch"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# end PID: SIGTERM, twenty seconds at most, SIGKILL.
end() {
    kill -TERM "$1" 2>/dev/null || return 0
    within 20 gone "$1" || kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }

# within SECONDS COMMAND...: repeats the command until it succeeds; fails when the time is over.
within() {
    local until=$((SECONDS + $1)); shift
    until "$@"; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.1
    done
}

fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# product NAME DIRECTORY: copies a fixture and commits it, so that it has a revision of its own.
product() {
    mkdir -p "$2"
    git -C "fixtures/$1" ls-files -z | tar -C "fixtures/$1" --null --files-from - --create | tar -C "$2" --extract
    git -C "$2" init --quiet --initial-branch main
    committed "$2" "The first commit"
}

# committed DIRECTORY MESSAGE: commits everything.
committed() {
    git -C "$1" add --all
    git -C "$1" -c user.name=ci -c user.email=ci@localhost commit --quiet --message "$2"
}

# sandbox FILE WORDS...: starts `cutover sandbox WORDS`, waits until it answers, and takes its variables over.
sandbox() {
    local file=$1; shift
    # A sandbox is not to inherit a token or a place from this environment.
    "$CUTOVER" sandbox "$@" --format json >"$file" 2>"$file.log" </dev/null &
    sandbox_id=$!
    started+=("$sandbox_id")
    within 60 answered "$file" && spoke "$file" || { cat "$file.log" >&2; fail "the sandbox did not begin: sandbox $*"; }
    local line
    while IFS= read -r line; do export "${line?}"; done < <(jq -r 'to_entries[] | "\(.key)=\(.value)"' "$file")
    edge=${CUTOVER_EDGES%%,*}
}

# A sandbox that has ended ends the wait as well.
answered() { gone "$sandbox_id" || spoke "$1"; }

spoke() { [ -s "$1" ] && jq --exit-status '.CUTOVER_EDGES' "$1" >/dev/null 2>&1; }

# expect EXIT JQ-CONDITION RECEIPT WORDS...: runs cutover, and compares its end and its receipt.
expect() {
    local wanted=$1 condition=$2 receipt=$3 code=0; shift 3
    timeout -k 5 "${limit:-240}" "$CUTOVER" "$@" --quiet --receipt "$receipt" >"$receipt.log" 2>&1 </dev/null || code=$?
    if [ "$code" != "$wanted" ] || ! jq -e "$condition" "$receipt" >/dev/null; then
        tail -n 60 "$receipt.log" >&2; jq -c . "$receipt" >&2 || true
        fail "cutover $*: exit $code (expected $wanted), condition $condition"
    fi
    echo "ok: cutover $* -> $code"
}

all_after='.outcome == "finished" and .serving == "after" and all(.targets[]; .serves == "after")'
all_before='.outcome == "rolled_back" and .serving == "before" and all(.targets[]; .serves == "before")'

engine_answers() { timeout 10 docker info >/dev/null 2>&1; }

# engine: makes sure that a Docker engine answers; one that is started here ends with the step. Fails where there is none to be had.
engine() {
    engine_answers && return 0
    [ "$(id -u)" = 0 ] && command -v dockerd >/dev/null || return 1
    dockerd >"$CI_OUT/dockerd.log" 2>&1 </dev/null &
    started+=($!)
    within 60 engine_answers || { tail -n 5 "$CI_OUT/dockerd.log" >&2; return 1; }
}
