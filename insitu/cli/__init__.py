# SPDX-License-Identifier: BSD-3-Clause
"""The command ``insitu``: each module has the verbs of one kind."""
