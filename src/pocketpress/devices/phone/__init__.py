"""Phones as devices: a small server whose page runs artifacts in the phone's browser and sends back numbers.

The server gives out a page, artifacts and golden samples, and takes results.  It knows neither runtimes nor
verdicts: `pipeline.bench.phones` prepares the tasks and judges what arrives.
"""
