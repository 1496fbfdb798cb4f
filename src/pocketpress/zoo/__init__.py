"""Networks that fit a phone: what there is, and how each is built and trained."""
