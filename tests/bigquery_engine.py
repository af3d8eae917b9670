"""What the local BigQuery knows: datasets, tables, and statements in its dialect, answered by DuckDB.

A stand-in and no emulator: it knows the types and statements that Reelyard uses. What it does not know is an error, as is
every statement that BigQuery's grammar does not have.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp

_TYPES = {
    "STRING": "VARCHAR", "INTEGER": "BIGINT", "INT64": "BIGINT", "FLOAT": "DOUBLE", "FLOAT64": "DOUBLE",
    "BOOLEAN": "BOOLEAN", "BOOL": "BOOLEAN", "TIMESTAMP": "TIMESTAMPTZ", "DATE": "DATE",
}  # fmt: skip
_BACK = {"VARCHAR": "STRING", "BIGINT": "INTEGER", "INTEGER": "INTEGER", "HUGEINT": "INTEGER",
         "DOUBLE": "FLOAT", "BOOLEAN": "BOOLEAN", "TIMESTAMP WITH TIME ZONE": "TIMESTAMP", "DATE": "DATE"}  # fmt: skip
_CHANGES = (exp.Insert, exp.Update, exp.Delete, exp.Merge)


class Refusal(Exception):
    """An error as Google tells it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message

    @property
    def detail(self) -> dict[str, str]:
        return {"reason": self.reason, "message": self.message}


@dataclass(frozen=True)
class Answer:
    """What a statement led to. ``affected`` is None for one that only reads."""

    schema: list[dict[str, str]] = field(default_factory=list)
    rows: Sequence[tuple[Any, ...]] = ()
    affected: int | None = None


class Engine:
    """All projects. Any thread may use it; statements come one after the other."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._duck = duckdb.connect()
        self._duck.execute("SET TimeZone='UTC'")
        self.datasets: dict[str, dict[str, Any]] = {}
        self.tables: dict[str, dict[str, Any]] = {}

    def close(self) -> None:
        with self._lock:
            self._duck.close()

    def make_dataset(self, name: str, resource: dict[str, Any]) -> None:
        with self._lock:
            if name in self.datasets:
                raise Refusal(409, "duplicate", f"Already Exists: Dataset {name}")
            self._duck.execute(f'CREATE SCHEMA "{name}"')
            self.datasets[name] = {"location": "US", **resource}

    def make_table(self, name: str, resource: dict[str, Any]) -> None:
        """``name`` is project.dataset.table."""
        with self._lock:
            dataset, _, table = name.rpartition(".")
            if dataset not in self.datasets:
                raise Refusal(404, "notFound", f"Not found: Dataset {dataset}")
            if name in self.tables:
                raise Refusal(409, "duplicate", f"Already Exists: Table {name}")
            fields = resource["schema"]["fields"]
            columns = ", ".join(map(_column, fields))
            if "check" in resource:
                columns += f", CHECK ({resource['check']})"
            self._duck.execute(f'CREATE TABLE "{dataset}"."{table}" ({columns})')
            location = self.datasets[dataset]["location"]
            self.tables[name] = {**resource, "location": location}

    def drop_table(self, name: str) -> None:
        with self._lock:
            dataset, _, table = name.rpartition(".")
            self.table(name)
            self._duck.execute(f'DROP TABLE "{dataset}"."{table}"')
            del self.tables[name]

    def dataset(self, name: str) -> dict[str, Any]:
        if name not in self.datasets:
            raise Refusal(404, "notFound", f"Not found: Dataset {name}")
        return self.datasets[name]

    def table(self, name: str) -> dict[str, Any]:
        if name not in self.tables:
            raise Refusal(404, "notFound", f"Not found: Table {name} was not found in location US")
        return self.tables[name]

    def run(
        self, text: str, parameters: Sequence[Mapping[str, Any]] = (), *, dry: bool = False
    ) -> Answer:
        """One statement in BigQuery's dialect. ``parameters`` as they come over the wire."""
        tree = _parsed(text)
        given = {one["name"]: one for one in parameters}
        with self._lock:
            self._place_tables(tree)
            values = dict(_bind(tree, given))
            statement = tree.sql(dialect="duckdb")
            try:
                if isinstance(tree, exp.Query):
                    return self._read(statement, values, dry)
                if dry:
                    self._duck.execute(f"EXPLAIN {statement}", values)
                    return Answer()
                changed = self._duck.execute(statement, values).fetchone()
            except duckdb.Error as error:
                raise Refusal(400, "invalidQuery", str(error).splitlines()[0]) from error
            return Answer(affected=changed[0] if changed else 0)

    def _read(self, statement: str, values: dict[str, Any], dry: bool) -> Answer:
        kinds = self._duck.execute(f"DESCRIBE {statement}", values).fetchall()
        schema = [_described(name, kind) for name, kind, *_ in kinds]
        if dry:
            return Answer(schema)
        columns = ", ".join(
            f'epoch_us("{one["name"]}")' if one["type"] == "TIMESTAMP" else f'"{one["name"]}"'
            for one in schema
        )
        rows = self._duck.execute(f"SELECT {columns} FROM ({statement})", values).fetchall()
        return Answer(schema, rows)

    def _place_tables(self, tree: exp.Expr) -> None:
        """Each dataset is a schema of DuckDB, called project.dataset."""
        own = {one.alias for one in tree.find_all(exp.CTE)}
        for table in list(tree.find_all(exp.Table)):
            if not table.db and table.name in own:
                continue
            if not table.db:
                message = (
                    f'Table "{table.name}" must be qualified with a dataset (e.g. dataset.table).'
                )
                raise Refusal(400, "invalid", message)
            dataset = f"{table.catalog}.{table.db}"
            self.table(f"{dataset}.{table.name}")
            table.set("catalog", None)
            table.set("db", exp.to_identifier(dataset, quoted=True))


def _parsed(text: str) -> exp.Expr:
    try:
        trees = sqlglot.parse(text, read="bigquery")
    except sqlglot.errors.SqlglotError as error:
        raise Refusal(400, "invalidQuery", f"Syntax error: {str(error).splitlines()[0]}") from error
    if len(trees) != 1 or not isinstance(trees[0], (exp.Query, *_CHANGES)):
        raise Refusal(400, "invalidQuery", "Syntax error: Unexpected statement")
    return trees[0]


def _bind(tree: exp.Expr, given: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Have the statement take its parameters from DuckDB; what they are there."""
    for node in list(tree.find_all(exp.Parameter)):
        name = node.name
        if name not in given:
            raise Refusal(400, "invalidQuery", f"Query parameter '{name}' not found")
        kind, told = given[name]["parameterType"], given[name]["parameterValue"]
        is_simple = kind["type"] in _TYPES
        bare = f"${name}" if is_simple else f"CAST(${name} AS JSON)"
        value = sqlglot.parse_one(f"CAST({bare} AS {_duck_type(kind)})", read="duckdb")
        parent = node.parent
        if isinstance(parent, exp.Unnest) and kind.get("arrayType", {}).get("type") == "STRUCT":
            # Here the fields of a struct are columns.
            rows = f"(SELECT UNNEST({value.sql('duckdb')}, max_depth := 2))"
            parent.replace(
                sqlglot.parse_one(f"SELECT * FROM {rows}", read="duckdb").find(exp.Subquery)
            )
        else:
            node.replace(value)
        yield name, _value(kind, told) if is_simple else json.dumps(_value(kind, told))


def _duck_type(kind: Mapping[str, Any]) -> str:
    if kind["type"] == "ARRAY":
        return f"{_duck_type(kind['arrayType'])}[]"
    if kind["type"] == "STRUCT":
        fields = (f'"{one["name"]}" {_duck_type(one["type"])}' for one in kind["structTypes"])
        return f"STRUCT({', '.join(fields)})"
    if kind["type"] not in _TYPES:
        raise Refusal(400, "invalid", f"unknown type {kind['type']}")
    return _TYPES[kind["type"]]


def _value(kind: Mapping[str, Any], value: Mapping[str, Any]) -> Any:
    if kind["type"] == "ARRAY":
        return [_value(kind["arrayType"], one) for one in value.get("arrayValues", [])]
    if kind["type"] == "STRUCT":
        found = value["structValues"]
        return {one["name"]: _value(one["type"], found[one["name"]]) for one in kind["structTypes"]}
    return value.get("value")


def _column(one: Mapping[str, Any]) -> str:
    if one["type"] not in _TYPES:
        raise Refusal(400, "invalid", f"unknown type {one['type']}")
    many = "[]" if one.get("mode") == "REPEATED" else ""
    always = " NOT NULL" if one.get("mode") == "REQUIRED" else ""
    return f'"{one["name"]}" {_TYPES[one["type"]]}{many}{always}'


def _described(name: str, kind: str) -> dict[str, str]:
    many = kind.endswith("[]")
    return {"name": name, "type": _BACK.get(kind.removesuffix("[]"), "STRING"),
            "mode": "REPEATED" if many else "NULLABLE"}  # fmt: skip
