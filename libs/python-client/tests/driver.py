"""The driver (test/clients/driver.ts) of the Python client: the scenarios of test/clients run through it."""

import hashlib
import json
import sys
import threading
import time

from google.protobuf.json_format import ParseDict

from dropstream import BatchesState, Client, errors
from dropstream.v1 import data_pb2, run_spec_pb2, schedule_types_pb2, trainer_pb2

client = Client()
batches = None
failures = []


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def state_of(run):
    return trainer_pb2.RunState.Name(run.state)[len("RUN_STATE_") :]


def plan_of(json_form):
    return ParseDict(json_form, data_pb2.Plan())


def open_stream(plan, format="float32", start=None, epochs=None, inFlight=4, totalSeconds=60):
    global batches
    failures.clear()
    batches = client.batches(
        plan_of(plan),
        format=format,
        start=(0, 0) if start is None else BatchesState.from_json(start),
        epochs=epochs,
        in_flight=inFlight,
        total_timeout=totalSeconds,
        on_failure=lambda address, error: failures.append(
            {"address": address, "kind": type(error).__name__, "retryAfterSeconds": error.retry_after}
        ),
    )


def next_batch():
    batch = next(batches, None)
    if batch is None:
        return None
    images, targets = batch
    return {
        "epoch": batch.epoch,
        "index": batch.index,
        "shape": list(images.shape),
        "images": sha256(images.tobytes()),
        # The TypeScript client has labels of 32 bits.
        "targets": sha256((targets.astype("<i4") if targets.ndim == 1 else targets).tobytes()),
        "targetBytes": 4 * targets.size,
        "state": batches.state().to_json(),
    }


def close_while_waiting():
    seen = []

    def wait():
        try:
            next(batches)
            seen.append("a batch")
        except errors.DropstreamError as error:
            seen.append(type(error).__name__)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    batches.close()
    thread.join()
    return seen[0]


def describe(manifest):
    found = client.describe(manifest)
    return {"samples": found.samples, "classes": len(found.classes)}


def preview(plan, index, limit):
    images = client.preview(plan_of(plan), index=index, limit=limit)
    return {"pngs": [sha256(image.png) for image in images], "steps": min(len(image.steps) for image in images)}


def rates(spec, steps, epochs, stepsPerEpoch):
    spec = ParseDict(spec, schedule_types_pb2.DropScheduleSpec())
    return [rate.rate for rate in client.rates(spec, steps, epochs=epochs, steps_per_epoch=stepsPerEpoch)]


def submit(spec, runId="", requestId=None, validateOnly=False):
    run = client.submit(ParseDict(spec, run_spec_pb2.RunSpec()), run_id=runId, request_id=requestId, validate_only=validateOnly)
    return {"name": run.name, "uid": run.uid}


def watch(run, after=0):
    events = list(client.watch(run, after=after))
    kinds = [event.WhichOneof("event") for event in events]
    camel = [kind.split("_")[0] + "".join(word.capitalize() for word in kind.split("_")[1:]) for kind in kinds]
    return {"sequences": [event.sequence for event in events], "kinds": camel}


def wait(run, timeoutSeconds=None):
    found = client.wait(run, timeout=timeoutSeconds)
    return {"state": state_of(found), "step": found.step}


def evaluate(checkpoint, timeoutSeconds=None):
    found = client.evaluate(checkpoint, timeout=timeoutSeconds)
    scores = found.result.weights
    return {"name": found.name, "samples": found.result.samples, "top1": scores.top1, "loss": scores.loss}


handlers = {
    "open": open_stream,
    "next": next_batch,
    "closeWhileWaiting": close_while_waiting,
    "failures": lambda: list(failures),
    "close": lambda: batches.close(),
    "describe": describe,
    "preview": preview,
    "rates": rates,
    "submit": submit,
    "run": lambda run: {"state": state_of(client.run(run))},
    "cancel": lambda run: {"state": state_of(client.cancel(run))},
    "watch": watch,
    "wait": wait,
    "evaluate": evaluate,
}


def main():
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"value": handlers[asked["name"]](**asked["args"])}
        except errors.DropstreamError as error:
            fields = [violation.field for violation in error.violations]
            answer = {
                "error": {
                    "kind": type(error).__name__,
                    "message": str(error),
                    "fields": fields,
                    "retryAfterSeconds": error.retry_after,
                }
            }
        print(json.dumps(answer), flush=True)
    client.close()
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("dropstream")]
    if left:
        sys.exit(f"threads are left: {left}")


if __name__ == "__main__":
    main()
