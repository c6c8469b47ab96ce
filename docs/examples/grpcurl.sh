#!/bin/sh
# A call to each service with grpcurl; the services describe themselves by reflection. A manifest as first argument.
set -eu
GRPCURL=${GRPCURL:-grpcurl}

"$GRPCURL" -plaintext -d '{"spec": {"rate": 0.1, "mode": "DROP_MODE_EARLY", "schedule": "DROP_SCHEDULE_LINEAR", "cutoff_epoch": 50},
  "length": {"epochs": 300, "steps_per_epoch": 312}, "steps": [0, 7800, 15600]}' \
  "${DROPSTREAM_SCHEDULER:-127.0.0.1:7012}" dropstream.v1.SchedulerService/GetRates
"$GRPCURL" -plaintext -d '{"parent": "projects/default"}' "${DROPSTREAM_TRAINER:-127.0.0.1:7013}" dropstream.v1.TrainerService/ListRuns
"$GRPCURL" -plaintext -d '{"parent": "projects/default"}' "${DROPSTREAM_EVALUATOR:-127.0.0.1:7014}" dropstream.v1.EvaluatorService/ListEvaluations
"$GRPCURL" -plaintext -d "{\"dataset\": {\"manifest\": \"$1\"}}" "${DROPSTREAM_DATA:-127.0.0.1:7011}" dropstream.v1.DataService/DescribeDataset
