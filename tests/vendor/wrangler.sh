#!/usr/bin/env bash
# Drives the vendor's own client against an embedded Cloudflare: a deployment of a preview branch, then one of production; checks both by the API.
#
#   tests/vendor/wrangler.sh BASE_URL DIRECTORY
#
# Environment: WRANGLER_BIN (default: wrangler, from `npm install wrangler@4.164.0 node@22`), CLOUDFLARE_API_TOKEN, CLOUDFLARE_ACCOUNT_ID, PROJECT
# (made where the account does not have it). Needs node and curl.
set -euo pipefail

base=${1:?usage: wrangler.sh BASE_URL DIRECTORY}
site=${2:?usage: wrangler.sh BASE_URL DIRECTORY}
wrangler=${WRANGLER_BIN:-wrangler}
: "${CLOUDFLARE_API_TOKEN:?}" "${CLOUDFLARE_ACCOUNT_ID:?}" "${PROJECT:?}"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export HOME=$scratch/home XDG_CONFIG_HOME=$scratch/home/.config CI=1 WRANGLER_SEND_METRICS=false WRANGLER_SEND_ERROR_REPORTS=false NO_UPDATE_NOTIFIER=1
export CLOUDFLARE_API_BASE_URL=$base CLOUDFLARE_API_TOKEN CLOUDFLARE_ACCOUNT_ID
mkdir -p "$HOME" "$scratch/work"
cd "$scratch/work"

# ask PATH EXPRESSION: prints the expression over the answer's result, called `it`.
ask() {
  curl --silent --show-error --fail --header "authorization: Bearer $CLOUDFLARE_API_TOKEN" "$base/accounts/$CLOUDFLARE_ACCOUNT_ID/pages/projects$1" |
    node -e "const it = JSON.parse(require('fs').readFileSync(0)).result; console.log($2)"
}
live() { ask "/$PROJECT" 'it.canonical_deployment?.id ?? ""'; }
fail() { echo "$*" >&2; exit 1; }
client() { timeout 120 "$wrangler" pages "$@" </dev/null; }

ask "/$PROJECT" 'it.id' >/dev/null 2>&1 || client project create "$PROJECT" --production-branch main
before=$(live)
echo "serves before: ${before:-nothing}"

client deploy "$site" --project-name "$PROJECT" --branch stage --commit-hash 1111111111111111111111111111111111111111 --commit-message staged --commit-dirty=true
[ "$(live)" = "$before" ] || fail "a preview must not serve"
echo "staged"

client deploy "$site" --project-name "$PROJECT" --branch main --commit-hash 2222222222222222222222222222222222222222 --commit-message live --commit-dirty=true
after=$(live)
[ -n "$after" ] && [ "$after" != "$before" ] || fail "production should have moved: '$before' to '$after'"
[ "$(ask "/$PROJECT/deployments/$after" 'it.environment + " " + it.latest_stage.name + " " + it.latest_stage.status')" = "production deploy success" ] || fail "the live deployment is not one"
echo "deployed: $after"

client deployment list --project-name "$PROJECT" >"$scratch/list" 2>&1 || { cat "$scratch/list"; fail "the list of deployments"; }
grep -q "${after%%-*}" "$scratch/list" || { cat "$scratch/list"; fail "the list lacks the live deployment"; }
echo "listed"
