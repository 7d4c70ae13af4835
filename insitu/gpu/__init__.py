# SPDX-License-Identifier: BSD-3-Clause
"""The GPU: memory and launches, and a frame's neighbours on it."""
