"""Why attempts were lost: one module a family of modes, one function a mode (numbers are rows of the failure taxonomy).

A cause is a function from the timeline to ranked evidence; it claims attempts, it does not judge the run. Where two
survive for the same attempt, both are kept. Not here: I/O, verdicts, wording beyond evidence and advice.
"""
