"""``python -m hyperscale.client.cli``."""

from hyperscale.client.cli import main

main()
