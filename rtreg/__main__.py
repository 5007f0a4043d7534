"""``python -m rtreg``: the `rtreg` command."""

import sys

from rtreg.cli import main

sys.exit(main())
