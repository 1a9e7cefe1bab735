"""`python -m api`: the `tollgate` command."""

from api.cli import main

main()
