"""Client of Dropstream's services. `Client` has everything; messages are in `dropstream.v1.*_pb2`, errors in `dropstream.errors`."""

from . import errors
from .batch import Batch
from .client import Client
from .connection import Tls
from .stream import Batches, BatchesState

__all__ = ["Batch", "Batches", "BatchesState", "Client", "Tls", "errors"]
