# SPDX-License-Identifier: BSD-3-Clause
"""Analyzers: what is made of a frame."""
