# SPDX-License-Identifier: BSD-3-Clause
"""One rank's atoms at one step: arrays, neighbours, ghosts, and what ranks exchange."""
