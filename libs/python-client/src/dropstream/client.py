"""The client of all services."""

from __future__ import annotations

import os
import uuid
import weakref
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Type, TypeVar, Union

from grpc_health.v1 import health_pb2, health_pb2_grpc

from .caller_token import WithToken, caller_token
from .connection import Connection, Tls, check_token
from .errors import DropstreamError, EvaluationFailed, RunFailed, Unavailable
from .patience import Patience
from .replicas import Leaving, ReplicaSet
from .stream import Batches, Start, StreamOptions
from .v1 import data_pb2, evaluator_pb2, evaluator_pb2_grpc, run_spec_pb2, schedule_types_pb2, scheduler_pb2, scheduler_pb2_grpc
from .v1 import trainer_pb2, trainer_pb2_grpc

Plan = Union[data_pb2.Plan, Mapping[str, Any]]
RunSpec = Union[run_spec_pb2.RunSpec, Mapping[str, Any]]
DropScheduleSpec = Union[schedule_types_pb2.DropScheduleSpec, Mapping[str, Any]]
M = TypeVar("M")

_PREVIEW_PAGE = 64
_ENDED_RUN = (trainer_pb2.RUN_STATE_SUCCEEDED, trainer_pb2.RUN_STATE_FAILED, trainer_pb2.RUN_STATE_CANCELLED)
_ENDED_EVALUATION = (
    evaluator_pb2.EVALUATION_STATE_SUCCEEDED,
    evaluator_pb2.EVALUATION_STATE_FAILED,
    evaluator_pb2.EVALUATION_STATE_CANCELLED,
)


class Client:
    """Calls the services of Dropstream.

        with Client(data=["127.0.0.1:7011", "127.0.0.1:7021"], trainer="127.0.0.1:7013") as client:
            for images, targets in client.batches(plan, epochs=90):
                ...

    An address is `host:port`. `address` is used for every service that has none of its own; a service that is not named at all is looked for
    in the environment: DROPSTREAM_DATA, DROPSTREAM_SCHEDULER, DROPSTREAM_TRAINER, DROPSTREAM_EVALUATOR, replicas joined by commas.
    `data` takes one address for each replica; `dns:///host:port` stands for all replicas behind that name, also those that are added later.

    `token` is shown to services that have identities; by default it is that of DROPSTREAM_TOKEN, or of the file that DROPSTREAM_TOKEN_FILE
    names, which is read again when it changes. It is sent to other machines through TLS only: ValueError otherwise.

    Nothing is connected before the first call. A client may be used by several threads. It must not be used in a process that was forked after
    its first call: make a client there.

    `timeout` is the deadline of a call in seconds, with all its repetitions; every method takes another one. Calls that are safe to repeat are
    repeated while a service is unavailable, or when it asks to wait. Errors are the classes of `dropstream.errors`.
    """

    def __init__(
        self,
        address: Optional[str] = None,
        *,
        data: Union[str, Sequence[str], None] = None,
        scheduler: Optional[str] = None,
        trainer: Optional[str] = None,
        evaluator: Optional[str] = None,
        project: str = "default",
        tls: Optional[Tls] = None,
        metadata: Optional[Mapping[str, str]] = None,
        token: Optional[str] = None,
        timeout: float = 30.0,
    ) -> None:
        self._project = f"projects/{project}"
        self._timeout = timeout
        self._leaving = Leaving()
        self._streams: "weakref.WeakSet[Batches]" = weakref.WeakSet()
        shown = caller_token(token)
        if shown is not None:
            metadata = WithToken(metadata or {}, shown)
        environment = {name: os.environ.get(f"DROPSTREAM_{name.upper()}") for name in ("data", "scheduler", "trainer", "evaluator")}

        def address_of(name: str, given: Optional[str]) -> Optional[str]:
            return given or address or environment[name]

        listed = address_of("data", data) if isinstance(data, str) or data is None else ",".join(data)
        self._replicas = ReplicaSet([part.strip() for part in listed.split(",")], tls, metadata or {}) if listed else None
        if listed and shown is not None:
            check_token("data", listed, tls)
        self._connections: Dict[str, Connection] = {}
        for name, given, stub in (
            ("scheduler", scheduler, scheduler_pb2_grpc.SchedulerServiceStub),
            ("trainer", trainer, trainer_pb2_grpc.TrainerServiceStub),
            ("evaluator", evaluator, evaluator_pb2_grpc.EvaluatorServiceStub),
        ):
            found = address_of(name, given)
            if found:
                if shown is not None:
                    check_token(name, found, tls)
                self._connections[name] = Connection(name, found, stub, tls, metadata or {})

    # Data

    def batches(
        self,
        plan: Plan,
        *,
        format: str = "float32",
        start: Start = (0, 0),
        epochs: Optional[int] = None,
        in_flight: int = 4,
        in_flight_bytes: int = 256 << 20,
        attempt_timeout: float = 60.0,
        total_timeout: float = 300.0,
        on_failure: Callable[[str, DropstreamError], None] = lambda address, error: None,
    ) -> Batches:
        """Batches of a plan, in order of epoch and index, from whichever replica answers.

            for images, targets in client.batches(plan): ...

        The bytes depend on the plan, the epoch and the index alone. Every payload is checked against its SHA-256, and every header against the
        plan's digest.

        plan: data_pb2.Plan, or its fields as a dict: {"dataset": {"manifest": …}, "batch_size": 32, "transform": {"input_size": 224,
            "training": True}, "mix": {}}.
        format: "float32" or "bfloat16": normalised, erased and mixed images with soft targets; "uint8": pixels before all that, with labels.
        start: epoch and index of the first batch, or a state from `Batches.state()`.
        epochs: the last epoch is epochs - 1; None: no end.
        in_flight: number of calls in flight and batches that wait for their turn. They hold at most `in_flight_bytes`; one batch always may.
        attempt_timeout, total_timeout: seconds for one attempt at a batch, and for all attempts at it with all replicas.
        on_failure: called with address and error for every failed attempt that is made again, in a thread of the stream.
        """
        options = StreamOptions(format, start, epochs, in_flight, in_flight_bytes, attempt_timeout, total_timeout, on_failure)
        batches = Batches(self._data(), self._project, _message(data_pb2.Plan, plan), options)
        self._streams.add(batches)
        return batches

    def describe(self, manifest: str, plan: Optional[Plan] = None, *, timeout: Optional[float] = None) -> data_pb2.DescribeDatasetResponse:
        """Classes and sizes of a data set and, with a plan, the length of its epoch."""
        request = data_pb2.DescribeDatasetRequest(parent=self._project, dataset={"manifest": manifest}, plan=None if plan is None else _message(data_pb2.Plan, plan))
        return self._from_any("DescribeDataset", request, timeout)

    def preview(
        self, plan: Plan, *, epoch: int = 0, index: int = 0, limit: int = 16, timeout: Optional[float] = None
    ) -> List[data_pb2.PreviewImage]:
        """At most `limit` images of a batch as PNG files, each with its transforms as text."""
        if limit < 1:
            raise ValueError(f"limit is {limit}, must be at least 1")
        images: List[data_pb2.PreviewImage] = []
        request = data_pb2.PreviewBatchRequest(parent=self._project, plan=_message(data_pb2.Plan, plan), epoch=epoch, index=index)
        request.limit = min(limit, _PREVIEW_PAGE)
        while True:
            page = self._from_any("PreviewBatch", request, timeout)
            images += page.images
            if len(images) >= limit or not page.next_page_token:
                return images[:limit]
            request.page_token = page.next_page_token

    # Drop rates

    def rates(
        self,
        schedule: Union[str, DropScheduleSpec],
        steps: Sequence[int],
        *,
        epochs: int,
        steps_per_epoch: int,
        depth: int = 0,
        revision: int = 0,
        timeout: Optional[float] = None,
    ) -> List[scheduler_pb2.Rate]:
        """Drop rates at `steps` of a training of epochs * steps_per_epoch steps.

        schedule: name of a stored schedule, or a spec that need not be stored: {"rate": 0.1, "mode": "DROP_MODE_EARLY", "cutoff_epoch": 50}.
        depth: number of residual blocks whose rates are computed too.
        revision: of a stored schedule; 0: the newest one.
        """
        length = schedule_types_pb2.TrainingLength(epochs=epochs, steps_per_epoch=steps_per_epoch, depth=depth)
        request = scheduler_pb2.GetRatesRequest(length=length, steps=steps, revision=revision)
        if isinstance(schedule, str):
            request.schedule = self._name("schedules", schedule)
        else:
            request.spec.CopyFrom(_message(schedule_types_pb2.DropScheduleSpec, schedule))
        return list(self.call("scheduler", "GetRates", request, timeout=timeout).rates)

    # Runs

    def submit(
        self,
        spec: RunSpec,
        *,
        run_id: str = "",
        request_id: Optional[str] = None,
        labels: Optional[Mapping[str, str]] = None,
        validate_only: bool = False,
        timeout: Optional[float] = None,
    ) -> trainer_pb2.Run:
        """Creates a run. The same request_id with the same content returns the run that was created first.

        spec: run_spec_pb2.RunSpec, or its fields as a dict: {"model": "vit_tiny", "train_manifest": …, "dropout": 0.1}.
        request_id: makes the call safe to repeat, also after a crash of the caller; default: a random id for this call.
        """
        request = trainer_pb2.CreateRunRequest(
            parent=self._project,
            run_id=run_id,
            spec=_message(run_spec_pb2.RunSpec, spec),
            request_id=str(uuid.uuid4()) if request_id is None else request_id,
            labels=labels or {},
            validate_only=validate_only,
        )
        return self.call("trainer", "CreateRun", request, timeout=timeout).run

    def run(self, run: str, *, timeout: Optional[float] = None) -> trainer_pb2.Run:
        """The current state of a run."""
        return self.call("trainer", "GetRun", trainer_pb2.GetRunRequest(name=self._name("runs", run)), timeout=timeout).run

    def cancel(self, run: str, *, timeout: Optional[float] = None) -> trainer_pb2.Run:
        """Ends a run; it cannot be resumed."""
        return self.call("trainer", "CancelRun", trainer_pb2.CancelRunRequest(name=self._name("runs", run)), timeout=timeout).run

    def watch(
        self, run: str, *, after: int = 0, uid: str = "", timeout: Optional[float] = None, patience: float = 60.0
    ) -> Iterator[trainer_pb2.RunEvent]:
        """Events of a run's log, and then new ones as they happen, until the run has ended.

        after: only events with a greater sequence number, for example to go on after a break.
        uid: of the run that `after` belongs to. NotFound is raised once the name belongs to another run.
        timeout: seconds after which DeadlineExceeded is raised; None: no end.
        patience: seconds without a connection after which Unavailable is raised.
        """
        name = self._name("runs", run)
        waiting = Patience(timeout, patience, self._leaving)
        cursor = after
        while True:
            try:
                request = trainer_pb2.WatchRunRequest(name=name, after_sequence=cursor, uid=uid)
                for message in self._stream("trainer", "WatchRun", request, waiting.deadline()):
                    waiting.connected()
                    event = message.event
                    if event.sequence <= cursor:
                        continue
                    cursor = event.sequence
                    if event.HasField("created"):
                        uid = uid or event.created.run.uid
                    yield event
                    if event.HasField("state") and event.state.state in _ENDED_RUN:
                        return
                found = self.run(name)
                if found.state in _ENDED_RUN and found.log_sequence <= cursor:
                    return
                waiting.pause()
            except DropstreamError as error:
                waiting.bear(error)

    def wait(self, run: str, *, timeout: Optional[float] = None, patience: float = 60.0) -> trainer_pb2.Run:
        """Waits until a run has succeeded, and returns it.

        Raises RunFailed if it failed or was cancelled, DeadlineExceeded after `timeout` seconds.
        """
        found = self.run(run)
        if found.state not in _ENDED_RUN:
            for _ in self.watch(found.name, after=found.log_sequence, uid=found.uid, timeout=timeout, patience=patience):
                pass
            found = self.run(found.name)
        if found.state != trainer_pb2.RUN_STATE_SUCCEEDED:
            state = trainer_pb2.RunState.Name(found.state)[len("RUN_STATE_") :]
            raise RunFailed(f"{found.name} is {state}{found.failure and ': ' + found.failure}", found)
        return found

    # Evaluations

    def evaluate(
        self,
        checkpoint: str,
        *,
        evaluation_id: str = "",
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
        patience: float = 60.0,
        **spec: Any,
    ) -> evaluator_pb2.Evaluation:
        """Evaluates a checkpoint, waits for the result and returns it: evaluation.result.weights.top1 and so on.

        checkpoint: its name, or RUN/CHECKPOINT, RUN/best or RUN/latest.
        spec: other fields of EvaluationSpec, for example manifest or batch_size; the defaults are those of the run.
        Raises EvaluationFailed if it failed or was cancelled, DeadlineExceeded after `timeout` seconds.
        """
        waiting = Patience(timeout, patience, self._leaving)
        request = evaluator_pb2.CreateEvaluationRequest(
            parent=self._project,
            evaluation_id=evaluation_id,
            spec=evaluator_pb2.EvaluationSpec(checkpoint=self._checkpoint(checkpoint), **spec),
            request_id=str(uuid.uuid4()) if request_id is None else request_id,
        )
        found = self.call("evaluator", "CreateEvaluation", request).evaluation
        watch = evaluator_pb2.WatchEvaluationRequest(name=found.name)
        while found.state not in _ENDED_EVALUATION:
            try:
                for message in self._stream("evaluator", "WatchEvaluation", watch, waiting.deadline()):
                    waiting.connected()
                    found = message.evaluation
            except DropstreamError as error:
                waiting.bear(error)
        if found.state != evaluator_pb2.EVALUATION_STATE_SUCCEEDED:
            state = evaluator_pb2.EvaluationState.Name(found.state)[len("EVALUATION_STATE_") :]
            raise EvaluationFailed(f"{found.name} is {state}{found.failure and ': ' + found.failure}", found)
        return found

    # Everything

    def call(self, service: str, method: str, request: Any, *, timeout: Optional[float] = None, repeatable: Optional[bool] = None) -> Any:
        """Any unary RPC of "scheduler", "trainer" or "evaluator": client.call("trainer", "ListRuns", trainer_pb2.ListRunsRequest(…)).

        repeatable: whether the call may be repeated if the service is unavailable; default: it only reads, or has a request id.
        """
        if repeatable is None:
            repeatable = method.startswith(("Get", "List", "Preview", "Cancel")) or bool(getattr(request, "request_id", ""))
        return self._connection(service).call(method, request, self._timeout if timeout is None else timeout, repeatable=repeatable)

    def serves(self, service: str, *, timeout: Optional[float] = None) -> bool:
        """Whether "scheduler", "trainer" or "evaluator" says that it is healthy (grpc.health.v1)."""
        known = self._connection(service)
        health = Connection(service, known.address, health_pb2_grpc.HealthStub, known.tls, known.metadata)
        try:
            answer = health.call("Check", health_pb2.HealthCheckRequest(), self._timeout if timeout is None else timeout, repeatable=False)
        except Unavailable:
            return False
        finally:
            health.close()
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    def close(self) -> None:
        """Closes all connections; calls and streams in flight end as Cancelled."""
        self._leaving.leave()
        for batches in list(self._streams):
            batches.close()
        if self._replicas is not None:
            self._replicas.close()
        for connection in self._connections.values():
            connection.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connection(self, service: str) -> Connection:
        if service not in self._connections:
            raise ValueError(f"the client has no {service} address: pass {service}=\"host:port\", or set DROPSTREAM_{service.upper()}")
        return self._connections[service]

    def _data(self) -> ReplicaSet:
        if self._replicas is None:
            raise ValueError('the client has no data address: pass data="host:port", or set DROPSTREAM_DATA')
        return self._replicas

    def _from_any(self, method: str, request: Any, timeout: Optional[float]) -> Any:
        """A unary call to any data replica."""
        seconds = self._timeout if timeout is None else timeout
        replicas = self._data()
        return replicas.try_all(
            method,
            lambda connection, left: connection.call(method, request, left, repeatable=False),
            self._leaving,
            # A replica that never answers must leave time for the others.
            attempt_timeout=seconds / len(replicas.addresses),
            total_timeout=seconds,
        )

    def _stream(self, service: str, method: str, request: Any, timeout: float) -> Iterator[Any]:
        stream = self._connection(service).stream(method, request, timeout)
        self._leaving.add(stream)
        try:
            yield from stream
        finally:
            stream.cancel()
            self._leaving.remove(stream)

    def _name(self, collection: str, name: str) -> str:
        return name if "/" in name else f"{self._project}/{collection}/{name}"

    def _checkpoint(self, name: str) -> str:
        if name.count("/") != 1:
            return name
        run, checkpoint = name.split("/")
        return f"{self._project}/runs/{run}/checkpoints/{checkpoint}"


def _message(kind: Type[M], given: Union[M, Mapping[str, Any]]) -> M:
    """A copy as a message: what the caller changes later does not change calls."""
    if isinstance(given, Mapping):
        return kind(**given)
    copy = kind()
    copy.CopyFrom(given)  # type: ignore[attr-defined]
    return copy
