"""One self-contained HTML page from a record.  Reads records, computes nothing."""
