# SPDX-License-Identifier: BSD-3-Clause
"""``python -m insitu``."""

import sys

from insitu.cli import main

sys.exit(main())
