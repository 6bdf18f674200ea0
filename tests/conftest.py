"""Longer forms of tests run by a flag."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--crashes", type=int, default=6, help="how often the crash test kills the relay (long form: 200)")
