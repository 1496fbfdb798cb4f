"""The zoo measured, searched and trained."""
