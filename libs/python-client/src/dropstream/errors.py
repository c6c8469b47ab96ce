"""Errors of calls. Every status of gRPC has a class, which carries what the service says about it in google.rpc details."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple, Type

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True)
class FieldViolation:
    """One rejected field of a request."""

    #: Path in the request, for example `plan.transform.input_size`.
    field: str
    #: The value that was found, and what is allowed.
    description: str


class DropstreamError(Exception):
    """Base of all errors that calls raise."""

    def __init__(
        self,
        message: str,
        *,
        status: Optional[grpc.StatusCode] = None,
        reason: str = "",
        violations: Tuple[FieldViolation, ...] = (),
        retry_after: Optional[float] = None,
        details: Optional[Mapping[str, str]] = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        #: Status of the call; None if this package found the error itself.
        self.status = status
        #: The service's constant for what happened, for example `NOT_FOUND`; empty if it sent none.
        self.reason = reason
        #: All rejected fields of the request.
        self.violations = violations
        #: Seconds after which the call may be repeated; None if the service does not say so.
        self.retry_after = retry_after
        #: Ids of the error, for example `kind` and `resource` of what was not found.
        self.details: Mapping[str, str] = dict(details or {})


class InvalidArgument(DropstreamError):
    """The request is wrong; `violations` lists every rejected field."""


class NotFound(DropstreamError):
    """The resource does not exist."""


class AlreadyExists(DropstreamError):
    """The id, or the request id, is taken by something else."""


class Aborted(DropstreamError):
    """Another writer was faster: read again, then repeat the change."""


class FailedPrecondition(DropstreamError):
    """The resource is in another state than the call needs."""


class ResourceExhausted(DropstreamError):
    """A limit of the service is reached. Waiting helps if `retry_after` is not None."""


class NeverFits(ResourceExhausted):
    """The call needs more than this server ever gives to one call: repeating it does not help."""


class Unavailable(DropstreamError):
    """The service or its store does not answer now."""


class DataLoss(DropstreamError):
    """Stored data is damaged."""


class DamagedBatch(DropstreamError):
    """A replica sent a batch that contradicts its header, its SHA-256 or the plan."""


class PermissionDenied(DropstreamError):
    """The caller may not do this."""


class Unauthenticated(DropstreamError):
    """The service does not know the caller."""


class Cancelled(DropstreamError):
    """The call was cancelled, for example because its stream or client was closed."""


class DeadlineExceeded(DropstreamError):
    """The deadline of the call has passed."""


class RemoteError(DropstreamError):
    """A status without a class of its own, such as INTERNAL."""


class RunFailed(DropstreamError):
    """The run that `wait` waited for failed or was cancelled."""

    def __init__(self, message: str, run: Any) -> None:
        super().__init__(message)
        #: The run (trainer_pb2.Run); its field `failure` has the reason.
        self.run = run


class EvaluationFailed(DropstreamError):
    """The evaluation failed or was cancelled."""

    def __init__(self, message: str, evaluation: Any) -> None:
        super().__init__(message)
        #: The evaluation (evaluator_pb2.Evaluation); its field `failure` has the reason.
        self.evaluation = evaluation


_CLASSES: Mapping[grpc.StatusCode, Type[DropstreamError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.OUT_OF_RANGE: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DATA_LOSS: DataLoss,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def from_rpc_error(error: grpc.RpcError, what: str) -> DropstreamError:
    """The class for the error of a call; `what` names the call."""
    status = error.code()
    details = _details(error)
    info = details.get("google.rpc.ErrorInfo", error_details_pb2.ErrorInfo())
    retry = details.get("google.rpc.RetryInfo")
    bad = details.get("google.rpc.BadRequest", error_details_pb2.BadRequest())
    kind = NeverFits if info.reason == "NEVER_FITS" else _CLASSES.get(status, RemoteError)
    return kind(
        f"{what}: {status.name}: {error.details()}",
        status=status,
        reason=info.reason,
        violations=tuple(FieldViolation(v.field, v.description) for v in bad.field_violations),
        retry_after=None if retry is None else retry.retry_delay.ToTimedelta().total_seconds(),
        details=info.metadata,
    )


def _details(error: grpc.RpcError) -> Mapping[str, Any]:
    """google.rpc details by message name. They come from another process, so those that cannot be decoded count as absent."""
    found = {}
    for key, value in error.trailing_metadata() or ():
        if key != _DETAILS_KEY:
            continue
        try:
            for packed in status_pb2.Status.FromString(value).details:
                name = packed.TypeName()
                kind = getattr(error_details_pb2, name.rpartition(".")[2], None)
                if kind is not None and kind.DESCRIPTOR.full_name == name:
                    found[name] = kind.FromString(packed.value)
        except DecodeError:
            pass
    return found
