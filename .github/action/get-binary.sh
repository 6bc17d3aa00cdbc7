#!/usr/bin/env bash
# Finds, builds or downloads the cutover binary, and writes its path to the step's output `path`.
#
# Runs on bash 3.2 as well, which is what macOS has.
set -euo pipefail

table="$GITHUB_ACTION_PATH/.github/binaries.sha256"

fail() {
    echo "::error title=cutover::$1" >&2
    exit 2
}

# Sets `name` to the released binary that fits this runner.
choose() {
    case "${RUNNER_OS:-}/${RUNNER_ARCH:-}" in
        Linux/X64) name=cutover-x86_64-unknown-linux-musl ;;
        Linux/ARM64) name=cutover-aarch64-unknown-linux-musl ;;
        macOS/ARM64) name=cutover-aarch64-apple-darwin ;;
        macOS/X64) name=cutover-x86_64-apple-darwin ;;
        *) fail "There is no binary for ${RUNNER_OS:-an unknown system} on ${RUNNER_ARCH:-an unknown processor}; use a Linux or macOS runner." ;;
    esac
}

sha256() {
    if command -v sha256sum >/dev/null; then
        sha256sum "$1"
    else
        shasum -a 256 "$1"
    fi | cut -d ' ' -f 1
}

# Downloads the binary that the table names and sets `path`; nothing is run before its digest is the table's.
download() {
    local name expected from actual
    choose
    expected=$(awk -v name="$name" '$2 == name { print $1 }' "$table")
    from=$(sed -n 's/^# from: //p' "$table")
    if [ -z "$expected" ]; then
        fail "This commit of the action names no released binary $name. Set build-from-source: true, or pin the commit of a release."
    fi
    path="${RUNNER_TEMP:?}/cutover-$expected/cutover"
    mkdir -p "${path%/*}"
    curl --fail --silent --show-error --location --proto '=https' --proto-redir '=https' --retry 3 --connect-timeout 20 \
        --max-time 300 --output "$path" "$from/$name" || fail "$from/$name could not be downloaded."
    actual=$(sha256 "$path")
    if [ "$actual" != "$expected" ]; then
        rm -f "$path"
        fail "$name has the digest $actual instead of $expected, so it was not run."
    fi
    chmod 755 "$path"
}

# Builds the binary and sets `path`.
build() {
    command -v cargo >/dev/null || fail "build-from-source needs a Rust toolchain on the runner."
    # In its own folder, so that the action's toolchain file counts and the caller's does not.
    (cd "$GITHUB_ACTION_PATH" && cargo build --release --locked --bin cutover --target-dir target)
    path="$GITHUB_ACTION_PATH/target/release/cutover"
}

case "$CUTOVER_INPUT_BUILD_FROM_SOURCE" in
    true | false) ;;
    *) fail "build-from-source must be true or false." ;;
esac

if [ -n "$CUTOVER_INPUT_BINARY" ]; then
    path="$CUTOVER_INPUT_BINARY"
    [ -f "$path" ] && [ -x "$path" ] || fail "The input binary names no executable file."
    path="$(cd "$(dirname "$path")" && pwd)/$(basename "$path")"
elif [ "$CUTOVER_INPUT_BUILD_FROM_SOURCE" = true ]; then
    build
else
    download
fi

case "$path" in
    *$'\n'*) fail "The path of the binary must not have a line break." ;;
esac
echo "path=$path" >>"$GITHUB_OUTPUT"
