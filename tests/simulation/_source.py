"""Which product is simulated: the one in the folder POSLINE_SOURCE, where that is set. Import it before any of that."""

import os
import sys

if os.environ.get("POSLINE_SOURCE"):
    sys.path.insert(0, os.environ["POSLINE_SOURCE"])
