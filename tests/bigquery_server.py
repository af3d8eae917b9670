"""BigQuery on this machine: the REST calls that Google's client makes, and faults that a test can order."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.bigquery_engine import Engine, Refusal
from tests.bigquery_http import Call, Listener
from tests.bigquery_job import Job
from tests.servers import HOST

_ROOT = "/bigquery/v2/projects/"


@dataclass
class _Fault:
    """Something that goes wrong with the next ``times`` requests that have ``on`` in them."""

    on: str
    times: int
    refusal: Refusal | None = None
    drop: bool = False


class BigQueryServer:
    """A server that keeps its port and its tables from one start to the next."""

    def __init__(self, host: str = HOST) -> None:
        self.engine = Engine()
        self.calls: list[Call] = []
        self.jobs: dict[tuple[str, str], Job] = {}  # by project and id
        self._faults: list[_Fault] = []
        self._slowness: list[float] = []
        self._answered: dict[str, dict[str, Any]] = {}
        self._lock = threading.RLock()
        self._address = (host, 0)
        self._server: Listener | None = None

    @property
    def url(self) -> str:
        return f"http://{self._address[0]}:{self._address[1]}"

    def start(self) -> None:
        if self._server is not None:
            raise RuntimeError("it runs already")
        self._server = Listener(self._address, self.take)
        self._address = (self._address[0], self._server.server_address[1])
        threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name="bigquery", daemon=True
        ).start()

    def stop(self) -> None:
        """Be away, with all connections. Tables stay."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def close(self) -> None:
        self.stop()
        for job in self.jobs.values():
            job.is_cancelled = True
            job.ended.wait(5.0)
        self.engine.close()

    # What tests order and see

    def fail(
        self, status: int, reason: str = "backendError", *, times: int = 1, on: str = ""
    ) -> None:
        """Answer the next requests that have ``on`` in their method and path with an error."""
        refusal = Refusal(status, reason, f"the test ordered {status}")
        self._faults.append(_Fault(on, times, refusal))

    def lose_answers(self, times: int = 1, *, on: str = "POST") -> None:
        """Do what the next requests ask for, and break off the connection instead of answering."""
        self._faults.append(_Fault(on, times, drop=True))

    def be_slow(self, *seconds: float) -> None:
        """The next statements begin so late."""
        self._slowness += seconds

    def healthy(self) -> None:
        """No more faults."""
        self._faults.clear()
        self._slowness.clear()

    def forget(self) -> None:
        """No more faults, and no calls."""
        self.healthy()
        self.calls.clear()

    def make(
        self, name: str, columns: Mapping[str, str], *rows: Sequence[Any], **table: Any
    ) -> None:
        """A table ``project.dataset.table``; a column's type may be REQUIRED or REPEATED: ``REPEATED STRING``.

        ``check`` is a condition without which rows are refused.
        """
        dataset = name.rpartition(".")[0]
        with suppress(Refusal):
            self.engine.make_dataset(dataset, {})
        fields = []
        for column, kind in columns.items():
            mode, _, bare = kind.rpartition(" ")
            fields.append({"name": column, "type": bare, "mode": mode or "NULLABLE"})
        self.engine.make_table(name, {"schema": {"fields": fields}, **table})
        given = {
            f"v{at}_{place}": value
            for at, row in enumerate(rows)
            for place, value in enumerate(row)
        }
        values = (f"({', '.join(f'@v{at}_{place}' for place in range(len(row)))})"
                  for at, row in enumerate(rows))  # fmt: skip
        if rows:
            self.engine.run(f"INSERT INTO `{name}` VALUES {', '.join(values)}", [
                {"name": one, "parameterType": {"type": "STRING"}, "parameterValue": {"value": value}}
                for one, value in given.items()
            ])  # fmt: skip

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Everything in ``project.dataset.table``; times in microseconds."""
        answer = self.engine.run(f"SELECT * FROM `{table}`")
        names = [one["name"] for one in answer.schema]
        return [dict(zip(names, row, strict=True)) for row in answer.rows]

    @property
    def statements(self) -> list[str]:
        """All that was asked to be run, in order."""
        return [call.sql for call in self.calls if call.sql]

    # What it does

    def take(self, call: Call) -> tuple[int, dict[str, Any]] | None:
        """The answer to a request; None: the connection breaks."""
        fault = self._fault(call)
        if fault is not None and fault.refusal is not None:
            return _told(fault.refusal)
        try:
            done = 200, self._route(call)
        except Refusal as refusal:
            done = _told(refusal)
        return None if fault is not None and fault.drop else done

    def _fault(self, call: Call) -> _Fault | None:
        with self._lock:
            self.calls.append(call)
            for fault in self._faults:
                if fault.times > 0 and fault.on in str(call):
                    fault.times -= 1
                    return fault
        return None

    def _route(self, call: Call) -> dict[str, Any]:
        project, *parts = urlsplit(call.path).path.removeprefix(_ROOT).split("/")
        query = {name: values[0] for name, values in parse_qs(urlsplit(call.path).query).items()}
        match call.method, parts:
            case "POST", ["queries"]:
                return self._query(project, call.body)
            case "POST", ["jobs"]:
                return self._insert(project, call.body)
            case "GET", ["queries", job_id]:
                return self._job(project, job_id).results(query.get("timeoutMs"))
            case "GET", ["jobs", job_id]:
                return self._job(project, job_id).resource
            case "POST", ["jobs", job_id, "cancel"]:
                self._job(project, job_id).is_cancelled = True
                return {"job": self._job(project, job_id).resource}
            case method, ["datasets", *rest]:
                return self._schema(method, project, rest, call.body)
        raise Refusal(404, "notFound", f"no such call: {call}")

    def _schema(
        self, method: str, project: str, parts: list[str], body: dict[str, Any]
    ) -> dict[str, Any]:
        match method, parts:
            case "POST", []:
                name = body["datasetReference"]["datasetId"]
                self.engine.make_dataset(f"{project}.{name}", body)
                return self.engine.dataset(f"{project}.{name}")
            case "GET", [dataset]:
                return self.engine.dataset(f"{project}.{dataset}")
            case "POST", [dataset, "tables"]:
                name = f"{project}.{dataset}.{body['tableReference']['tableId']}"
                self.engine.make_table(name, body)
                return self.engine.table(name)
            case "GET", [dataset, "tables", table]:
                own = {"projectId": project, "datasetId": dataset, "tableId": table}
                return {"tableReference": own, **self.engine.table(f"{project}.{dataset}.{table}")}
        raise Refusal(404, "notFound", f"no such call: {method} {parts}")

    def _query(self, project: str, body: dict[str, Any]) -> dict[str, Any]:
        """``jobs.query``: the same request comes twice where its answer was lost."""
        known = self._answered.get(body.get("requestId", ""))
        if known is not None:
            return known
        if body.get("dryRun"):
            answer = self.engine.run(body["query"], body.get("queryParameters", ()), dry=True)
            schema = {"fields": answer.schema}
            return {"jobComplete": True, "schema": schema, "totalBytesProcessed": "1048576",
                    "jobReference": {"projectId": project}}  # fmt: skip
        job = self._begin(project, str(uuid.uuid4()), body)
        told = job.results(body.get("timeoutMs"))
        if told["jobComplete"]:
            self._answered[body.get("requestId", "")] = told
        return told

    def _insert(self, project: str, body: dict[str, Any]) -> dict[str, Any]:
        job_id = body["jobReference"]["jobId"]
        with self._lock:
            if (project, job_id) in self.jobs:
                raise Refusal(409, "duplicate", f"Already Exists: Job {project}:US.{job_id}")
            job = self._begin(project, job_id, body["configuration"]["query"])
        job.ended.wait(0.05)
        return job.resource

    def _begin(self, project: str, job_id: str, query: Mapping[str, Any]) -> Job:
        job = Job(project, job_id, query["query"], query.get("queryParameters", ()))
        self.jobs[project, job_id] = job
        late = self._slowness.pop(0) if self._slowness else 0.0
        if late:
            threading.Thread(target=job.run, args=(self.engine, late), daemon=True).start()
        else:
            job.run(self.engine)
        return job

    def _job(self, project: str, job_id: str) -> Job:
        if (project, job_id) not in self.jobs:
            raise Refusal(404, "notFound", f"Not found: Job {project}:US.{job_id}")
        return self.jobs[project, job_id]


def _told(refusal: Refusal) -> tuple[int, dict[str, Any]]:
    error = {"code": refusal.status, "message": refusal.message, "errors": [refusal.detail]}
    return refusal.status, {"error": error}
