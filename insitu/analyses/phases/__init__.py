# SPDX-License-Identifier: BSD-3-Clause
"""The phase of every atom: labels from a model's probabilities, and the counts of the phases."""
