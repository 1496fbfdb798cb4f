"""One folder per runtime: a light card (`spec`), and `lower` and `run`, imported on first use."""
