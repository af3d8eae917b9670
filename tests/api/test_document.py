"""The OpenAPI document says what the API does: whatever is sent, the answer is one that it names."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from reelyard.domain.access import Scope
from tests.api.house import House
from tests.api.rights import table

EXAMPLES = 5
"""Of each operation."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


OPERATIONS = sorted({(row.path, row.method) for row in table() if not row.path.startswith("/api")}
                    | {(row.path, row.method) for row in table() if row.path.startswith("/api/v1")})  # fmt: skip


@pytest.fixture(scope="module")
def described(house: House) -> Any:
    return schemathesis.openapi.from_asgi("/api/openapi.json", house.app)


@pytest.fixture(scope="module")
def admin(house: House) -> dict[str, str]:
    """One who may do everything, so that nothing is refused before it is looked at."""
    return house.token("ada", *Scope)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_one_that_the_document_names(
    path: str, method: str, described: Any, admin: dict[str, str]
) -> None:
    """No 5xx; status, content type, headers and body are as they are described."""
    operation = described[path][method]
    tried = []

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(operation.as_strategy())
    def try_out(case: Any) -> None:
        tried.append(case.call_and_validate(headers=admin, checks=CHECKS).status_code)

    try_out()
    assert tried
