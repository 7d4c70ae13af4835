# SPDX-License-Identifier: BSD-3-Clause
"""The crystal system and the extinction group that a powder pattern shows."""
