"""What the facts mean: pure functions from a document to values.

Here belongs: placing facts on one timeline, finding outages, telling causes apart, summing loads up and comparing them,
judging. Nothing here does I/O, reads a clock or draws numbers but from a fixed seed, so the same document gives the
same analysis for ever.
Not here: how any of it is worded on a screen or drawn (`rollcheck.render`).
"""
