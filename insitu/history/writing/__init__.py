# SPDX-License-Identifier: BSD-3-Clause
"""A history while it is written: one frame at a time, on rank 0, safe against a kill."""
