"""``python -m reelyard``."""

from reelyard.cli.main import main

main()
