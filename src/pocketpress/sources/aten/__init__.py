"""ATen operators of an exported program, one file per family, translated to the program's operators."""
