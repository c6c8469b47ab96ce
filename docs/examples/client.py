"""A call to each service from Python, and a batch of finished float32 images.

    pip install ./libs/python-client
    python docs/examples/client.py MANIFEST
"""
import sys

from dropstream import Client, errors
from dropstream.v1 import evaluator_pb2, trainer_pb2

plan = {
    "dataset": {"manifest": sys.argv[1]},
    "batch_size": 32,
    "transform": {"input_size": 28, "training": True, "aa": ""},
    "mix": {"mixup": 0.8, "cutmix": 0},
}

# Without addresses, the client takes those of DROPSTREAM_DATA, DROPSTREAM_SCHEDULER, DROPSTREAM_TRAINER and DROPSTREAM_EVALUATOR.
with Client() as client:
    spec = {"rate": 0.1, "mode": "DROP_MODE_EARLY", "schedule": "DROP_SCHEDULE_LINEAR", "cutoff_epoch": 50}
    for rate in client.rates(spec, [0, 7800, 15600], epochs=300, steps_per_epoch=312):
        print(f"step {rate.step}: drop rate {rate.rate:.4f}")

    # Every RPC that has no method of its own goes through `call`.
    runs = client.call("trainer", "ListRuns", trainer_pb2.ListRunsRequest(parent="projects/default")).runs
    print(len(runs), "runs")
    evaluations = client.call("evaluator", "ListEvaluations", evaluator_pb2.ListEvaluationsRequest(parent="projects/default")).evaluations
    print(len(evaluations), "evaluations")

    with client.batches(plan, epochs=1) as batches:
        for images, targets in batches:
            print(f"batch of images {list(images.shape)} with soft targets {list(targets.shape)}")
            break
        state = batches.state()  # state.save(path) keeps the position
    with client.batches(plan, start=state) as batches:
        print(f"the stream goes on with batch {next(batches).index}")

    try:
        client.preview({**plan, "batch_size": 0})
    except errors.InvalidArgument as error:
        print(error.violations[0].field, error.violations[0].description)
