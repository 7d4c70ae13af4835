# SPDX-License-Identifier: BSD-3-Clause
"""Samples that training begins with: perfect, made up, of real compounds, with surfaces and defects."""
