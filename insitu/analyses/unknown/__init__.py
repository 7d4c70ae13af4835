# SPDX-License-Identifier: BSD-3-Clause
"""Kinds of unknown atoms, sorted by their surroundings as the run goes on."""
