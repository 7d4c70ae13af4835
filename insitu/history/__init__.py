# SPDX-License-Identifier: BSD-3-Clause
"""Histories: H5MD files, written and read."""

#: What a run may do with a history that exists.
IF_EXISTS = ("refuse", "append", "overwrite", "new")
