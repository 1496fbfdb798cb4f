"""Graph passes on programs, one per file; each is a function from program to program."""
