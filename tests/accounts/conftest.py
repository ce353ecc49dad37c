"""A browser, and fresh rate limits."""

import pytest
from django.test import Client


@pytest.fixture
def browser(db) -> Client:
    return Client()
