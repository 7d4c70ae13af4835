# SPDX-License-Identifier: BSD-3-Clause
"""Grains: regions of like orientation, put together from pieces of all ranks."""
