"""`python -m usertcp`: the command `usertcp`."""

from usertcp.cli import main

main()
