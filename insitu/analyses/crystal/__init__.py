# SPDX-License-Identifier: BSD-3-Clause
"""The crystal that each phase is, and its predicted properties."""
