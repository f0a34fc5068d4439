"""``python -m satimnet.cli``: the command where no script is installed."""

from satimnet.cli import main

main()
