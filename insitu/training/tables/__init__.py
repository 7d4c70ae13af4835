# SPDX-License-Identifier: BSD-3-Clause
"""What a model gets right, as tables and cards."""
