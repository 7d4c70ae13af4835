# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors: checks and documentation over the kernels."""
