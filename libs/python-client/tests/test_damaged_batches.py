"""Batches from replicas that misbehave, through real gRPC. Whole replicas and their failures: test/clients."""

import hashlib
import tempfile
import threading
import unittest
from concurrent import futures
from pathlib import Path

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from dropstream import BatchesState, Client, errors
from dropstream.v1 import data_pb2, data_pb2_grpc

SIZE, BATCHES = 8, 4
PLAN = {"dataset": {"manifest": "c" * 64}, "batch_size": 2, "transform": {"input_size": SIZE, "training": True}}
EXPECTED = [(epoch, index) for epoch in range(2) for index in range(BATCHES)]


def parts_of(request):
    """The stream of a correct replica; the pixels identify the batch."""
    payload = bytes([16 * request.epoch + request.index]) * (2 * 3 * SIZE * SIZE)
    header = data_pb2.BatchHeader(
        plan_digest="d" * 64,
        epoch=request.epoch,
        index=request.index,
        batches_per_epoch=BATCHES,
        samples=[{"sample": 0, "label": 0}, {"sample": 1, "label": 1}],
        channels=3,
        size=SIZE,
        classes=2,
        format=request.format,
        payload_bytes=len(payload),
        payload_sha256=hashlib.sha256(payload).digest(),
    )
    return [header, payload[:100], payload[100:]]


class Replica(data_pb2_grpc.DataServiceServicer):
    """Serves `change(parts, request)`; an exception of it becomes the status."""

    def __init__(self, test, change=lambda parts, request: parts):
        self.change = change
        self.digests = []
        server = grpc.server(futures.ThreadPoolExecutor(4))
        data_pb2_grpc.add_DataServiceServicer_to_server(self, server)
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        test.addCleanup(lambda: server.stop(None).wait(10))

    def GetBatch(self, request, context):
        self.digests.append(request.plan_digest)
        for part in self.change(parts_of(request), request, *([context] if self.change.__code__.co_argcount == 3 else [])):
            yield data_pb2.GetBatchResponse(header=part) if isinstance(part, data_pb2.BatchHeader) else data_pb2.GetBatchResponse(chunk=part)


def header_with(**fields):
    def change(parts, request):
        for name, value in fields.items():
            setattr(parts[0], name, value)
        return parts

    return change


def label_outside(parts, request):
    parts[0].samples[0].label = 7
    return parts


def other_index(parts, request):
    parts[0].index += 1
    return parts


DAMAGES = {
    "a changed byte": (lambda parts, request: [*parts[:2], b"\xff" * 284], "SHA-256"),
    "too few bytes": (lambda parts, request: parts[:2], "100 of 384 bytes"),
    "too many bytes": (lambda parts, request: [*parts, parts[1]], "more bytes"),
    "no header": (lambda parts, request: parts[1:], "chunk before the header"),
    "nothing": (lambda parts, request: [], "no header"),
    "a second header": (lambda parts, request: [parts[0], parts[1], parts[0]], "second header"),
    "another batch": (other_index, "index"),
    "another size": (header_with(size=9), "size"),
    "a claim of endless bytes": (header_with(payload_bytes=2**40), "payload_bytes"),
    "a label outside the classes": (label_outside, "label 7"),
    "an epoch without this batch": (header_with(batches_per_epoch=0), "batches_per_epoch"),
}


def refuse(context, code, detail, retry_seconds=None, reason=None):
    """Ends the call with google.rpc details, as the services do."""
    packed = [any_pb2.Any(), any_pb2.Any()]
    packed[0].Pack(error_details_pb2.ErrorInfo(reason=reason or code.name, domain="dropstream", metadata={"what": detail}))
    if retry_seconds is not None:
        packed[1].Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=int(retry_seconds * 1e9))))
    status = status_pb2.Status(code=code_pb2.Code.Value(code.name), message=detail, details=packed[: 1 if retry_seconds is None else 2])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, detail)


class Streams(unittest.TestCase):
    def read(self, addresses, **options):
        failures = []
        with Client(data=addresses) as client:
            options = {"format": "uint8", "epochs": 2, "on_failure": lambda address, error: failures.append((address, error)), **options}
            with client.batches(PLAN, **options) as batches:
                found = [(batch.epoch, batch.index, set(batch.images.ravel())) for batch in batches]
        self.assertEqual([thread.name for thread in threading.enumerate() if thread.name.startswith("dropstream")], [])
        self.assertTrue(all(pixels == {16 * epoch + index} for epoch, index, pixels in found))
        return [(epoch, index) for epoch, index, _ in found], failures

    def test_damage_is_passed_over(self):
        for what, (change, why) in DAMAGES.items():
            with self.subTest(what):
                bad, good = Replica(self, change), Replica(self)
                found, failures = self.read([bad.address, good.address])
                self.assertEqual(found, EXPECTED)
                self.assertTrue(failures)
                for address, error in failures:
                    self.assertEqual(address, bad.address)
                    self.assertIsInstance(error, errors.DamagedBatch)
                    self.assertIn(why, str(error))
                with self.assertRaises(errors.Unavailable):
                    self.read([bad.address], total_timeout=0.3)

    def test_later_batches_must_be_of_the_first_ones_plan(self):
        def other_plan(parts, request):
            if request.plan_digest:
                parts[0].plan_digest = "e" * 64
            return parts

        replica = Replica(self, other_plan)
        with self.assertRaisesRegex(errors.Unavailable, "plan_digest"):
            self.read([replica.address], total_timeout=1)
        self.assertEqual(replica.digests[0], "")
        self.assertEqual(set(replica.digests[1:]), {"d" * 64})

    def test_a_limit_with_retry_info_is_waited_for(self):
        refused = []

        def busy(parts, request, context):
            if len(refused) < 3:
                refused.append(request.index)
                refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "waiting calls", 0.25)
            return parts

        found, failures = self.read([Replica(self, busy).address])
        self.assertEqual(found, EXPECTED)
        self.assertEqual(len(failures), 3)
        for _, error in failures:
            self.assertIsInstance(error, errors.ResourceExhausted)
            self.assertEqual((error.retry_after, error.reason, error.status), (0.25, "RESOURCE_EXHAUSTED", grpc.StatusCode.RESOURCE_EXHAUSTED))
            self.assertEqual(error.details["what"], "waiting calls")

    def test_what_never_fits_is_asked_of_each_replica_once(self):
        asked = []

        def small(parts, request, context):
            asked.append(request.index)
            refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "memory", reason="NEVER_FITS")

        replicas = [Replica(self, small), Replica(self, small)]
        with self.assertRaises(errors.NeverFits):
            self.read([replica.address for replica in replicas])
        self.assertEqual(asked, [0, 0])
        self.assertEqual(self.read([replicas[0].address, Replica(self).address])[0], EXPECTED)

    def test_a_forgotten_stream_stops(self):
        with Client(data=Replica(self).address) as client:
            for images, labels in client.batches(PLAN, format="uint8"):
                self.assertEqual((images.shape, list(labels)), ((2, 3, SIZE, SIZE), [0, 1]))
                break
            self.assertEqual([thread.name for thread in threading.enumerate() if thread.name.startswith("dropstream")], [])

    def test_the_window_keeps_to_its_bytes(self):
        asked, gate = [], threading.Event()

        def slow(parts, request):
            asked.append(request.index)
            if len(asked) > 1:
                gate.wait(10)
            return parts

        with Client(data=Replica(self, slow).address) as client:
            with client.batches(PLAN, format="uint8", in_flight=64, in_flight_bytes=3 * 384) as batches:
                next(batches)
                for _ in range(1000):
                    if len(asked) >= 4:
                        break
                    gate.wait(0.01)
                gate.wait(0.2)
                self.assertEqual(len(asked), 4, "the first batch, and three within the bytes")
                gate.set()


class States(unittest.TestCase):
    def test_text_that_is_no_state_is_refused(self):
        for text in ("", "{}", "[1]", '{"epoch":-1,"index":0,"planDigest":""}', '{"epoch":0,"index":1.5,"planDigest":""}'):
            with self.subTest(text), self.assertRaises(ValueError):
                BatchesState.from_json(text)

    def test_a_saved_state_is_loaded(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "position.json"
            state = BatchesState(3, 5, "d" * 64)
            state.save(path)
            self.assertEqual(BatchesState.load(path), state)
            self.assertEqual([file.name for file in Path(folder).iterdir()], [path.name])


class Addresses(unittest.TestCase):
    def test_what_to_write_is_said(self):
        for address, hint in (("http://10.0.0.1:7011/", "write '10.0.0.1:7011'"), ("10.0.0.1", "must be host:port")):
            with self.subTest(address), self.assertRaisesRegex(ValueError, hint):
                Client(data=address)
        with self.assertRaisesRegex(ValueError, "DROPSTREAM_TRAINER"):
            Client(data="127.0.0.1:1").run("run")


if __name__ == "__main__":
    unittest.main()
