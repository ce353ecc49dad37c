"""The OpenAPI document describes every operation, and says so without a warning."""

from pathlib import Path

import yaml
from django.core.management import call_command


def test_the_schema_is_valid(tmp_path: Path):
    path = tmp_path / "schema.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(path))
    schema = yaml.safe_load(path.read_text())
    assert schema["openapi"].startswith("3.1")
    operations = [
        (url, method, operation)
        for url, methods in schema["paths"].items()
        for method, operation in methods.items()
        if method in ("get", "post", "delete")
    ]
    assert len(operations) >= 17
    assert all(operation["summary"] for _, _, operation in operations)
    upload = schema["paths"]["/api/v1/environments/{owner}/{name}/versions/"]["post"]
    assert {"200", "201", "403", "409", "413", "422", "507"} <= set(upload["responses"])
