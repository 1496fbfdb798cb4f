"""Core ML: an ``.mlpackage`` with an ML program, written directly."""
