# SPDX-License-Identifier: BSD-3-Clause
"""Labelled configurations from molecular dynamics."""
