# SPDX-License-Identifier: BSD-3-Clause
"""From the atoms of a sample to scattered intensities: factors, mesh, instrument, peaks."""
