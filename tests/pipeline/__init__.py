"""Tests that run the whole pipeline. A package, so that its conftest.py is not taken for that of all tests."""
