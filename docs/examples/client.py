"""A call to each service from Python; a batch of finished float32 images comes from the data service.

    pip install grpcio grpcio-tools
    python -m grpc_tools.protoc -I proto --python_out=stubs --grpc_python_out=stubs $(find proto -name '*.proto')
    PYTHONPATH=stubs python docs/examples/client.py MANIFEST
"""
import array
import hashlib
import os
import sys

import grpc
from dropstream.v1 import data_pb2, data_pb2_grpc, evaluator_pb2, evaluator_pb2_grpc
from dropstream.v1 import schedule_types_pb2 as schedules
from dropstream.v1 import scheduler_pb2, scheduler_pb2_grpc, trainer_pb2, trainer_pb2_grpc


def channel(service, port):
    return grpc.insecure_channel(os.environ.get(f"DROPSTREAM_{service}", f"127.0.0.1:{port}"))


scheduler = scheduler_pb2_grpc.SchedulerServiceStub(channel("SCHEDULER", 7012))
spec = schedules.DropScheduleSpec(rate=0.1, mode=schedules.DROP_MODE_EARLY, schedule=schedules.DROP_SCHEDULE_LINEAR, cutoff_epoch=50)
length = schedules.TrainingLength(epochs=300, steps_per_epoch=312)
answer = scheduler.GetRates(scheduler_pb2.GetRatesRequest(spec=spec, length=length, steps=[0, 7800, 15600]), timeout=10)
for rate in answer.rates:
    print(f"step {rate.step}: drop rate {rate.rate:.4f}")

trainer = trainer_pb2_grpc.TrainerServiceStub(channel("TRAINER", 7013))
print(len(trainer.ListRuns(trainer_pb2.ListRunsRequest(parent="projects/default"), timeout=10).runs), "runs")

evaluator = evaluator_pb2_grpc.EvaluatorServiceStub(channel("EVALUATOR", 7014))
print(len(evaluator.ListEvaluations(evaluator_pb2.ListEvaluationsRequest(parent="projects/default"), timeout=10).evaluations), "evaluations")

# A training loop in any framework can read its batches like this: the same bytes from any replica, for ever.
data = data_pb2_grpc.DataServiceStub(channel("DATA", 7011))
plan = data_pb2.Plan(
    dataset=data_pb2.DatasetRef(manifest=sys.argv[1]),
    batch_size=32,
    order=data_pb2.SAMPLE_ORDER_SHUFFLED,
    transform=data_pb2.TransformSpec(input_size=28, training=True, aa=""),
    mix=data_pb2.MixSpec(mixup=0.8, cutmix=0),
)
request = data_pb2.GetBatchRequest(plan=plan, epoch=0, index=0, format=data_pb2.PIXEL_FORMAT_FLOAT32)
header, payload = None, bytearray()
for part in data.GetBatch(request, timeout=60):
    if part.HasField("header"):
        header = part.header
    else:
        payload += part.chunk
assert hashlib.sha256(payload).digest() == header.payload_sha256
values = array.array("f", bytes(payload))
images = len(header.samples) * header.channels * header.size * header.size
print(f"batch of {len(header.samples)} images [{header.channels}, {header.size}, {header.size}], {len(values) - images} soft targets follow them")
