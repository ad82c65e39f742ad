"""The benchmark: rollcheck's load generator beside its peers, in one run, on this machine.

Here belong: finding and starting peers, servers that the measures need, one module a row of measures, and the
arithmetic from what was seen to the table. Nothing here is in the wheel, nothing here is imported by `rollcheck`, and
what is measured of rollcheck is measured from outside, on its command line, as for the peers.
"""
