"""What a person or a program reads of a run: text, JSON, pictures.

Here belongs: pure functions from an `Analysis` to text or bytes, with width and colour passed in and a fixed order, so
that the same run gives the same bytes for ever. Every name that comes from a cluster or a server is made harmless on
its way out (`render.text`).
Not here: reading or writing files, printing, deciding anything about the run.
"""

import logging

# Where no home can be written (a container, CI), matplotlib makes a folder of its own for its fonts, takes it away
# again, and tells everybody on stderr; it has nothing else to say that a reader of a run could use.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
