"""What a decoder with a cache of keys and values costs, and what it keeps."""
