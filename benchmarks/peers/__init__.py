"""Each runtime's own default quantisation tool: produce its files and run them, as its documentation says."""
