"""`python -m spinscope`."""

from spinscope.cli import main

main()
