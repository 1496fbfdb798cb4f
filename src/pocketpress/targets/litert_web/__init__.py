"""LiteRT.js: the LiteRT runtime in a browser."""
