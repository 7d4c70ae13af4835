# SPDX-License-Identifier: BSD-3-Clause
"""The powder pattern of the sample, and the symmetry that it shows."""
