# SPDX-License-Identifier: BSD-3-Clause
"""Properties predicted from a cell: dielectric and elastic tensors, formation energy."""
