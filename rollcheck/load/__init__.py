"""The load engine: a timetable of arrivals in, one fact for what became of each of them out.

Here belongs: when a request is due (`pacer`, `schedule`: pure arithmetic), what its bytes are and what an answer's
bytes mean (`wire`, `outcomes`: no I/O), the connections it travels on (`transport`, `resolver`, `lanes`, `reactor`),
what is kept of it (`histogram`, `recorder`), the loop that drives them all (`engine`), and the shortest ways through it
at full speed (`sprint`, `laps`, `spins`, `turnover`); `ask` sends a single request with the same rules.
Not here: Kubernetes, judgement of what a failure means, printing. A failure of the target is never an exception in
this package; nothing here retries, redirects or reconnects on its own.
"""
