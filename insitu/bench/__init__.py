# SPDX-License-Identifier: BSD-3-Clause
"""``insitu bench``: what the analysis costs on this machine, alone and beside other methods."""
