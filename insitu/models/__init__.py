# SPDX-License-Identifier: BSD-3-Clause
"""Networks, artefacts and their store."""
