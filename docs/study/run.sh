#!/bin/sh
# Makes the study of docs/study.md, or goes on with it. Everything is resumable: give the same command again after an interruption.
# Needs a running `dropstream up --data-root DATA`. DATA is the folder in which `dropstream demo` and `dropstream demo --quick` leave Fashion-MNIST:
# fashion-mnist-v3-all with all images, and fashion-mnist-v3-700 with the first 700 of each class. OUT gets the files with the manifests, and the pages of the
# reports. The lines of the runs that have ended are added to docs/study/results. Usage: docs/study/run.sh DATA OUT [STUDY …]
set -eu
data=$1 out=$2 here=$(dirname "$0")
shift 2
[ $# -gt 0 ] || set -- rates underfitting overfitting sensitivity gradients
results=$here/results
mkdir -p "$out" "$results"
manifest() { dropstream data index "$data/$1" --split "$2" --json | node -p 'JSON.parse(require("fs").readFileSync(0, "utf8")).manifest'; }
train=$(manifest fashion-mnist-v3-all train)
test=$(manifest fashion-mnist-v3-all test)
small=$(manifest fashion-mnist-v3-700 train)
lines() { dropstream study evaluate "$out/$1.yaml" --lines "$results/$1.jsonl"; }
trap 'touch "$out/ended"' EXIT
trap 'exit 130' INT TERM
for study; do
  sed "s/\bTRAIN$/$train/; s/\bTEST$/$test/; s/\bSMALL$/$small/" "$here/$study.yaml" > "$out/$study.yaml"
  # A run has its line soon after it has ended, and not only when all have.
  rm -f "$out/ended"
  while [ ! -e "$out/ended" ]; do sleep 20; lines "$study" || :; done > "$out/$study.log" 2>&1 &
  dropstream study create "$out/$study.yaml" && failed=0 || failed=$?
  touch "$out/ended"
  wait
  [ $failed = 0 ] || exit $failed
  lines "$study"
  dropstream study report "$out/$study.yaml" --lines "$results/$study.jsonl" --json --page "$out/$study.html" > "$out/$study.json"
  [ "$study" != gradients ] || node "$here/gradients.mjs" fm-gradients "$results/gradient-statistics.jsonl"
done
node "$here/figures.mjs"
