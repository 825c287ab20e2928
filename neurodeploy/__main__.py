"""``python -m neurodeploy``."""

from .cli import main

main()
