# SPDX-License-Identifier: BSD-3-Clause
"""What the analysis costs beside other methods, on this machine: the command ``insitu bench``."""
