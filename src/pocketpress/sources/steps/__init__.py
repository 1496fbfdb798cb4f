"""Networks read from files as plain steps, run node by node: what the file formats share."""
