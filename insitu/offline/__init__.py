# SPDX-License-Identifier: BSD-3-Clause
"""The analysis of a run on configurations in memory and in files."""
