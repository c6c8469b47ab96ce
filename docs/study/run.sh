#!/bin/sh
# Makes the study of docs/study.md, or goes on with it. Everything is resumable: give the same command again after an interruption.
# Needs a running `dropstream up --data-root DATA`, and DATA, the folder with the IDX files of Fashion-MNIST that `dropstream demo` leaves in
# .dropstream/demo/data/fashion-mnist-v3-all. Usage: docs/study/run.sh DATA OUT
set -eu
data=$1 out=$2 here=$(dirname "$0")
mkdir -p "$out"
manifest() { dropstream data index "$data" --split "$1" --json | node -p 'JSON.parse(require("fs").readFileSync(0, "utf8")).manifest'; }
train=$(manifest train) test=$(manifest test)
for study in rates underfitting overfitting; do
  sed "s/\bTRAIN$/$train/; s/\bTEST$/$test/" "$here/$study.yaml" > "$out/$study.yaml"
  dropstream study create "$out/$study.yaml"
  dropstream study evaluate "$out/$study.yaml"
  dropstream study report "$out/$study.yaml" --json --page "$out/$study.html" > "$out/$study.json"
done
