# SPDX-License-Identifier: BSD-3-Clause
"""Networks fitted to labelled configurations."""
