#!/bin/sh
# Makes the study of docs/study.md, or goes on with it. Everything is resumable: give the same command again after an interruption.
# Needs a running `dropstream up --data-root DATA`. DATA is the folder in which `dropstream demo` and `dropstream demo --quick` leave Fashion-MNIST:
# fashion-mnist-v3-all with all images, and fashion-mnist-v3-700 with the first 700 of each class. Usage: docs/study/run.sh DATA OUT
set -eu
data=$1 out=$2 here=$(dirname "$0")
mkdir -p "$out"
manifest() { dropstream data index "$data/$1" --split "$2" --json | node -p 'JSON.parse(require("fs").readFileSync(0, "utf8")).manifest'; }
train=$(manifest fashion-mnist-v3-all train)
test=$(manifest fashion-mnist-v3-all test)
small=$(manifest fashion-mnist-v3-700 train)
for study in rates underfitting overfitting; do
  sed "s/\bTRAIN$/$train/; s/\bTEST$/$test/; s/\bSMALL$/$small/" "$here/$study.yaml" > "$out/$study.yaml"
  dropstream study create "$out/$study.yaml"
  dropstream study evaluate "$out/$study.yaml"
  dropstream study report "$out/$study.yaml" --json --page "$out/$study.html" > "$out/$study.json"
done
