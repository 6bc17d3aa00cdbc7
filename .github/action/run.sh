#!/usr/bin/env bash
# Turns the action's inputs into cutover's arguments, then becomes cutover.
#
# Every value is one element of an array, and every option is written as --name=value, so that no value is ever split,
# expanded, or taken for an option. Runs on bash 3.2 as well, which is what macOS has.
set -euo pipefail

command=$CUTOVER_INPUT_COMMAND
arguments=("$command" "--manifest=$CUTOVER_INPUT_MANIFEST")
names=()

fail() {
    echo "::error title=cutover::$1" >&2
    exit 2
}

# option NAME VALUE: adds --NAME=VALUE, unless the value is empty.
option() {
    if [ -n "$2" ]; then arguments+=("--$1=$2"); fi
}

# flag NAME VALUE: adds --NAME if the value is true.
flag() {
    case "$2" in
        true) arguments+=("--$1") ;;
        false | "") ;;
        *) fail "The input $1 must be true or false." ;;
    esac
}

# lines TEXT: calls `each` with every line that is not blank, without the blanks around it.
lines() {
    local line
    while IFS= read -r line || [ -n "$line" ]; do
        line="${line#"${line%%[![:space:]]*}"}"
        line="${line%"${line##*[![:space:]]}"}"
        if [ -n "$line" ]; then each "$line"; fi
    done <<<"$1"
}

needs_environment() {
    if [ -z "$CUTOVER_INPUT_ENVIRONMENT" ]; then fail "The command $command needs the input environment."; fi
    names+=("$CUTOVER_INPUT_ENVIRONMENT")
}

takes_environment() {
    if [ -n "$CUTOVER_INPUT_ENVIRONMENT" ]; then names+=("$CUTOVER_INPUT_ENVIRONMENT"); fi
}

# changed: what becomes of what somebody else changed, for every command that releases.
changed() {
    flag adopt "$CUTOVER_INPUT_ADOPT"
    flag override "$CUTOVER_INPUT_OVERRIDE"
}

option journal "$CUTOVER_INPUT_JOURNAL"

case "$command" in
    run)
        option environment "$CUTOVER_INPUT_ENVIRONMENT"
        option receipt "$CUTOVER_INPUT_RECEIPT"
        flag dry-run "$CUTOVER_INPUT_DRY_RUN"
        flag older "$CUTOVER_INPUT_OLDER"
        changed
        ;;
    gates)
        option environment "$CUTOVER_INPUT_ENVIRONMENT"
        option receipt "$CUTOVER_INPUT_RECEIPT"
        each() { names+=("$1"); }
        lines "$CUTOVER_INPUT_GATES"
        ;;
    build)
        if [ -z "$CUTOVER_INPUT_OUT" ]; then fail "The command build needs the input out."; fi
        option out "$CUTOVER_INPUT_OUT"
        option receipt "$CUTOVER_INPUT_RECEIPT"
        flag skip-gates "$CUTOVER_INPUT_SKIP_GATES"
        takes_environment
        ;;
    preview)
        option artifacts "$CUTOVER_INPUT_ARTIFACTS"
        option receipt "$CUTOVER_INPUT_RECEIPT"
        flag skip-gates "$CUTOVER_INPUT_SKIP_GATES"
        ;;
    sweep)
        option most "$CUTOVER_INPUT_MOST"
        option pull-request "$CUTOVER_INPUT_PULL_REQUEST"
        option receipt "$CUTOVER_INPUT_RECEIPT"
        flag dry-run "$CUTOVER_INPUT_DRY_RUN"
        ;;
    release)
        option artifacts "$CUTOVER_INPUT_ARTIFACTS"
        option receipt "$CUTOVER_INPUT_RECEIPT"
        flag skip-gates "$CUTOVER_INPUT_SKIP_GATES"
        flag older "$CUTOVER_INPUT_OLDER"
        changed
        each() { option only "$1"; }
        lines "$CUTOVER_INPUT_ONLY"
        needs_environment
        ;;
    report)
        option product "$CUTOVER_INPUT_PRODUCT"
        option environment "$CUTOVER_INPUT_ENVIRONMENT"
        if [ "$CUTOVER_INPUT_PENDING" = true ]; then
            flag pending true
        else
            flag pending "$CUTOVER_INPUT_PENDING"
            each() { option required "$1"; }
            lines "$CUTOVER_INPUT_REQUIRED"
            if [ -n "$CUTOVER_INPUT_FROM" ]; then
                for file in "$CUTOVER_INPUT_FROM"/*.json; do
                    # A folder without receipts leaves the pattern itself.
                    if [ -f "$file" ]; then option from "$file"; fi
                done
            fi
        fi
        ;;
    relay)
        if [ -z "$CUTOVER_INPUT_PRODUCT" ]; then fail "The command relay needs the input product."; fi
        option product "$CUTOVER_INPUT_PRODUCT"
        # A stranger has named what is in the folder: cutover itself looks, within limits.
        option from "$CUTOVER_INPUT_FROM"
        each() { option required "$1"; }
        lines "$CUTOVER_INPUT_REQUIRED"
        ;;
    # Everything else stands in the event.
    dispatch) option receipt "$CUTOVER_INPUT_RECEIPT" ;;
    rollback)
        option to "$CUTOVER_INPUT_TO"
        option reason "$CUTOVER_INPUT_REASON"
        option receipt "$CUTOVER_INPUT_RECEIPT"
        changed
        needs_environment
        ;;
    promote)
        if [ -z "$CUTOVER_INPUT_FROM_ENVIRONMENT" ]; then fail "The command promote needs the input from-environment."; fi
        if [ -z "$CUTOVER_INPUT_ENVIRONMENT" ]; then fail "The command promote needs the input environment."; fi
        option from "$CUTOVER_INPUT_FROM_ENVIRONMENT"
        option to "$CUTOVER_INPUT_ENVIRONMENT"
        option release "$CUTOVER_INPUT_TO"
        option reason "$CUTOVER_INPUT_REASON"
        option receipt "$CUTOVER_INPUT_RECEIPT"
        changed
        ;;
    recover)
        option product "$CUTOVER_INPUT_PRODUCT"
        option receipt "$CUTOVER_INPUT_RECEIPT"
        takes_environment
        ;;
    hold)
        option product "$CUTOVER_INPUT_PRODUCT"
        if [ "$CUTOVER_INPUT_HOLD_OFF" = true ]; then
            flag off true
        else
            flag off "$CUTOVER_INPUT_HOLD_OFF"
            if [ -z "$CUTOVER_INPUT_REASON" ]; then fail "The command hold needs the input reason, or hold-off."; fi
            option reason "$CUTOVER_INPUT_REASON"
        fi
        needs_environment
        ;;
    history)
        option product "$CUTOVER_INPUT_PRODUCT"
        needs_environment
        ;;
    status) needs_environment ;;
    plan) takes_environment ;;
    check) ;;
    *) fail "The input command must be run, gates, build, release, preview, sweep, report, relay, dispatch, rollback, promote, recover, hold, history, plan, check or status." ;;
esac

if [ ${#names[@]} -gt 0 ]; then arguments+=(-- "${names[@]}"); fi

exec "$CUTOVER_BINARY" "${arguments[@]}"
