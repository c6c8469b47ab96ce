#!/bin/sh
# Calls services with curl through the gateway. Usage: DROPSTREAM_GATEWAY=http://127.0.0.1:7010 docs/examples/http.sh
set -eu
gateway=${DROPSTREAM_GATEWAY:-http://127.0.0.1:7010}

# A call is a POST of its request as JSON. Where the services have identities, add -H "Authorization: Bearer $(cat TOKEN_FILE)".
call() {
  curl --silent --show-error --header 'Content-Type: application/json' --data "$2" "$gateway/dropstream.v1.$1"
  echo
}

# The drop rate at three steps of a schedule that is not stored anywhere.
call SchedulerService/GetRates '{
  "spec": {"kind": "DROP_KIND_DROP_PATH", "rate": 0.1, "mode": "DROP_MODE_EARLY", "schedule": "DROP_SCHEDULE_LINEAR", "cutoffEpoch": 50},
  "length": {"epochs": 300, "stepsPerEpoch": 312, "depth": 12},
  "steps": [0, 7800, 15600]
}'

call TrainerService/ListRuns '{"parent": "projects/default", "pageSize": 10}'

# Methods that change nothing are also GETs, with the request in the query.
curl --silent --show-error --get "$gateway/dropstream.v1.EvaluatorService/ListEvaluations" \
  --data-urlencode 'encoding=json' --data-urlencode 'message={"parent": "projects/default"}'
echo

# An error says what is wrong in words, and in "details" what is wrong for programs.
call TrainerService/GetRun '{"name": "projects/default/runs/none"}'

# A stream: an envelope is a byte of flags, the length of its message in four bytes, and the message. `--no-buffer` shows each as it comes.
# This one ends at once, because there is no such run; the last envelope says why.
envelope() { printf '\000'; printf '%08x' "${#1}" | sed 's/../\\x&/g' | xargs -0 printf '%b'; printf '%s' "$1"; }
envelope '{"name": "projects/default/runs/none"}' |
  curl --silent --show-error --no-buffer --header 'Content-Type: application/connect+json' --data-binary @- \
    "$gateway/dropstream.v1.TrainerService/WatchRun" | tr -d '\000-\037'
echo
