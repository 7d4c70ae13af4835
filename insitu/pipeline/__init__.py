# SPDX-License-Identifier: BSD-3-Clause
"""What is done with a frame, from the settings of a deck to its history."""
