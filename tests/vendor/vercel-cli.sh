#!/usr/bin/env bash
# Drives the vendor's own client against an embedded Vercel: deploy prebuilt and staged, promote, roll back; checks each outcome by the API.
#
#   tests/vendor/vercel-cli.sh BASE_URL
#
# Environment: VERCEL_BIN (default: vercel, from `npm install vercel@60.1.3`), VERCEL_TOKEN, VERCEL_ORG_ID, VERCEL_PROJECT_ID.
# Where the project has nothing in production yet, a first deployment is promoted beforehand. Needs node and curl.
set -euo pipefail

base=${1:?usage: vercel-cli.sh BASE_URL}
vercel=${VERCEL_BIN:-vercel}
: "${VERCEL_TOKEN:?}" "${VERCEL_ORG_ID:?}" "${VERCEL_PROJECT_ID:?}"
token=$VERCEL_TOKEN
org=$VERCEL_ORG_ID
project=$VERCEL_PROJECT_ID

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export HOME=$scratch/home VERCEL_TELEMETRY_DISABLED=1 NO_UPDATE_NOTIFIER=1 CI=1
unset VERCEL_TOKEN VERCEL_ORG_ID VERCEL_PROJECT_ID
mkdir -p "$HOME" "$scratch/site/.vercel/output/static"
cd "$scratch/site"
printf '{"projectId":"%s","orgId":"%s"}' "$project" "$org" >.vercel/project.json
printf '{"version":3}' >.vercel/output/config.json
printf '<h1>from the client</h1>' >.vercel/output/static/index.html
for number in $(seq 1 20); do printf 'asset %s' "$number" >".vercel/output/static/asset-$number.txt"; done

# ask PATH EXPRESSION: prints the expression over the answer, called `it`.
ask() {
  curl --silent --show-error --fail --header "authorization: Bearer $token" "$base$1" |
    node -e "const it = JSON.parse(require('fs').readFileSync(0)); console.log($2)"
}
live() { ask "/v9/projects/$project?teamId=$org" 'it.targets.production?.id ?? ""'; }
same() { if [ "$1" != "$2" ]; then echo "$3: '$1' is not '$2'" >&2; exit 1; fi; }
client() { timeout 120 "$vercel" "$@" --token "$token" --api "$base" --yes; }

deploy() { client deploy --prebuilt --prod --skip-domain; }

before=$(live)
if [ -z "$before" ]; then
  url=$(deploy)
  before=$(ask "/v13/deployments/${url#https://}?teamId=$org" 'it.id')
  client promote "$before" --scope "$org"
  printf '<h1>from the client again</h1>' >.vercel/output/static/index.html
fi
echo "serves before: $before"

url=$(deploy)
deployed=$(ask "/v13/deployments/${url#https://}?teamId=$org" 'it.id')
same "$(ask "/v13/deployments/$deployed?teamId=$org" 'it.readyState + " " + it.readySubstate')" "READY STAGED" "after the deploy"
same "$(live)" "$before" "a staged deployment must not serve"
echo "deployed and staged: $deployed"

# The client leaves the team out of these two unless it is told (vercel/vercel#11712), and is refused then, as by the vendor.
client promote "$deployed" --scope "$org"
same "$(live)" "$deployed" "after the promotion"
echo "promoted: $deployed"

client rollback "$before" --scope "$org"
same "$(live)" "$before" "after the rollback"
echo "rolled back: $before"
