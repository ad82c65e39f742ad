"""`python -m rollcheck`."""

from rollcheck.cli import main

main()
