"""The nouns: what one run observed, as frozen dataclasses.

Here belongs: every kind of fact a collector records, the document that holds them, and the codec between a fact and
one line of JSON. Nothing derived is a fact, and nothing observed lives outside the document.
Not here: I/O, clocks, decisions. Only the standard library is imported.
"""
