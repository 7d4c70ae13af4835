# SPDX-License-Identifier: BSD-3-Clause
"""Who is near an atom: the search, periodic images, pairs, density."""
