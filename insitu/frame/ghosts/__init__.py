# SPDX-License-Identifier: BSD-3-Clause
"""Ghost atoms: are they complete and current, who owns them, and their features from their owners."""
