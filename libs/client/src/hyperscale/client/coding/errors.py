"""What can be wrong with a job that is written in Python."""

from __future__ import annotations


class CodedJobError(Exception):
    """The code of a job cannot be imported, or describes no job; the text begins with file and line."""
