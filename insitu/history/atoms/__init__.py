# SPDX-License-Identifier: BSD-3-Clause
"""The atoms of some frames of a run, in a file beside the history."""
