"""Tests of the HTTP API, request by request."""
