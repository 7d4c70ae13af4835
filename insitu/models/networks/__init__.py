# SPDX-License-Identifier: BSD-3-Clause
"""Networks as torch modules."""
