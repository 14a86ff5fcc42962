"""Conformance: small programs whose expected memory comes from the slow reference, run on any backend."""

from __future__ import annotations
