# SPDX-License-Identifier: BSD-3-Clause
"""``python -m insitu``."""

import sys

from insitu.cli.command import main

sys.exit(main())
