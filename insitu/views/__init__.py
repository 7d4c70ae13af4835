# SPDX-License-Identifier: BSD-3-Clause
"""Histories for people: figures, tables, the live view, reports."""
