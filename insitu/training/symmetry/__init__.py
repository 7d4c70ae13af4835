# SPDX-License-Identifier: BSD-3-Clause
"""Random crystals of every extinction group, their powder patterns, and the network fitted to them."""
