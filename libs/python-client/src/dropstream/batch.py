"""A received batch as arrays, and one attempt to fetch it from a replica."""

from __future__ import annotations

import hashlib
from typing import Any, Dict, Iterator, Tuple

import numpy as np

from .connection import Connection
from .errors import DamagedBatch, DropstreamError
from .replicas import Leaving
from .v1 import data_pb2

#: Format by its name: the proto's value, and the type of one channel value. NumPy has no bfloat16, so its bits are given as uint16.
FORMATS: Dict[str, Tuple[Any, np.dtype]] = {
    "uint8": (data_pb2.PIXEL_FORMAT_UINT8, np.dtype("u1")),
    "float32": (data_pb2.PIXEL_FORMAT_FLOAT32, np.dtype("<f4")),
    "bfloat16": (data_pb2.PIXEL_FORMAT_BFLOAT16, np.dtype("<u2")),
}
_MOST_CLASSES = 100_000


class Batch:
    """One batch. `images, targets = batch` takes it apart. The arrays may be written to; nothing else uses their memory."""

    def __init__(self, header: data_pb2.BatchHeader, payload: bytearray, format: str) -> None:
        #: What the service says about the batch: samples, mixing, erased boxes, replaced samples (data_pb2.BatchHeader).
        self.header = header
        slots, size = len(header.samples), header.size
        _, kind = FORMATS[format]
        values = slots * 3 * size * size
        #: [samples, 3, size, size]. float32: normalised, erased and mixed; bfloat16: the same, as bits in uint16 (`torch.from_numpy(images)
        #: .view(torch.bfloat16)`); uint8: pixels before all that.
        self.images: np.ndarray = np.frombuffer(payload, kind, values).reshape(slots, 3, size, size)
        #: float32 and bfloat16: soft targets, float32 [samples, classes]. uint8: labels, int64 [samples].
        self.targets: np.ndarray = (
            self.labels
            if format == "uint8"
            else np.frombuffer(payload, "<f4", slots * header.classes, values * kind.itemsize).reshape(slots, header.classes)
        )

    def __iter__(self) -> Iterator[np.ndarray]:
        yield self.images
        yield self.targets

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.header.samples)

    @property
    def epoch(self) -> int:
        return self.header.epoch

    @property
    def index(self) -> int:
        """Number of the batch within its epoch."""
        return self.header.index

    @property
    def labels(self) -> np.ndarray:
        """Label of each sample before mixing, int64 [samples]."""
        return np.array([sample.label for sample in self.header.samples], np.int64)

    @property
    def padding(self) -> np.ndarray:
        """bool [samples]: true where a slot only fills the batch and must not be counted (SAMPLE_ORDER_PADDED)."""
        return np.array([sample.padding for sample in self.header.samples], bool)

    def soft_targets(self) -> np.ndarray:
        """Soft targets of the header's labels, smoothing and mixing, float32 [samples, classes]: those of the finished formats, bit for bit."""
        header = self.header
        off = header.smoothing / header.classes
        on = 1 - header.smoothing + off
        targets = np.full((len(self), header.classes), off, np.float32)
        for slot, sample in enumerate(header.samples):
            mixed = sample.HasField("mix")
            # `lambda` is a word of Python, so the field is read by name.
            share = getattr(sample.mix, "lambda") if mixed else 1.0
            other = header.samples[sample.mix.partner].label if mixed else sample.label
            if other == sample.label:
                targets[slot, other] = on
            else:
                targets[slot, sample.label] = share * on + (1 - share) * off
                targets[slot, other] = share * off + (1 - share) * on
        return targets


def payload_bytes(format: str, slots: int, size: int, classes: int) -> int:
    """Bytes of a payload: the images, and the soft targets of finished formats."""
    images = slots * 3 * size * size * FORMATS[format][1].itemsize
    return images if format == "uint8" else images + slots * classes * 4


def fetch_batch(connection: Connection, request: data_pb2.GetBatchRequest, format: str, timeout: float, leaving: Leaving) -> Batch:
    """One attempt. Raises DamagedBatch if the stream contradicts its header or the request, or the call's error."""

    def damaged(why: str) -> DamagedBatch:
        return DamagedBatch(f"batch {request.index} of epoch {request.epoch} from {connection.address}: {why}")

    header = None
    payload = bytearray()
    filled = 0
    digest = hashlib.sha256()
    stream = connection.stream("GetBatch", request, timeout)
    leaving.add(stream)
    try:
        for message in stream:
            part = message.WhichOneof("part")
            if part == "header":
                if header is not None:
                    raise damaged("the stream has a second header")
                header = message.header
                _check_header(header, request, format, damaged)
                payload = bytearray(header.payload_bytes)
            elif part == "chunk":
                if header is None:
                    raise damaged("the stream has a chunk before the header")
                chunk = message.chunk
                if filled + len(chunk) > len(payload):
                    raise damaged("it has more bytes than its header says")
                payload[filled : filled + len(chunk)] = chunk
                digest.update(chunk)
                filled += len(chunk)
    except DropstreamError:
        if leaving.left:
            leaving.wait(0)  # Raises Cancelled.
        raise
    finally:
        stream.cancel()
        leaving.remove(stream)
    if header is None:
        raise damaged("the stream has no header")
    if filled != len(payload):
        raise damaged(f"the stream ended after {filled} of {len(payload)} bytes")
    if digest.digest() != header.payload_sha256:
        raise damaged("the SHA-256 of its bytes is not that of its header")
    return Batch(header, payload, format)


def _check_header(header: Any, request: data_pb2.GetBatchRequest, format: str, damaged: Any) -> None:
    slots, size = len(header.samples), request.plan.transform.input_size
    if not 1 <= slots <= request.plan.batch_size:
        raise damaged(f"it has {slots} samples, must be from 1 to {request.plan.batch_size}")
    if not 1 <= header.classes <= _MOST_CLASSES:
        raise damaged(f"classes is {header.classes}, must be from 1 to {_MOST_CLASSES}")
    facts: Tuple[Tuple[str, Any, Any], ...] = (
        ("epoch", header.epoch, request.epoch),
        ("index", header.index, request.index),
        ("format", header.format, request.format),
        ("size", header.size, size),
        ("channels", header.channels, 3),
        # This check also bounds the memory that a header can request.
        ("payload_bytes", header.payload_bytes, payload_bytes(format, slots, size, header.classes)),
        ("plan_digest", header.plan_digest, request.plan_digest or header.plan_digest),
    )
    for field, found, wanted in facts:
        if found != wanted:
            raise damaged(f"{field} is {found}, must be {wanted}")
    for sample in header.samples:
        if sample.label >= header.classes or sample.mix.partner >= slots:
            raise damaged(f"label {sample.label} or partner {sample.mix.partner} does not exist")
    if header.batches_per_epoch <= request.index:
        raise damaged(f"batches_per_epoch is {header.batches_per_epoch}, must be above {request.index}")
