"""Manifests of any length: read as a stream, every record given once, good or rejected."""
