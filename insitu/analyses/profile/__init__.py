# SPDX-License-Identifier: BSD-3-Clause
"""Profiles of the phases: along a direction or a radius, at rest or moving with a front."""
