# SPDX-License-Identifier: BSD-3-Clause
"""Everything collective: how ranks come about, all-reduces, exchanges, clusters over ranks."""
