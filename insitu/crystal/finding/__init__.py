# SPDX-License-Identifier: BSD-3-Clause
"""The crystal that hot atoms make up: region, lattice, cell, sites."""
