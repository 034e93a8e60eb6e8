"""The benchmark is a package of its own, ``bench``; its folder's parent must be on the path to import it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))
