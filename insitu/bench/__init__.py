# SPDX-License-Identifier: BSD-3-Clause
"""``insitu bench``: what the analysis costs, measured on the machine at hand."""
