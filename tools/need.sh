#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What a build needs of the system: a C++ compiler, Python's headers and its venv module. What is
# missing is installed where apt-get may be used, else named.
python=$1
missing=""
command -v c++ >/dev/null 2>&1 || missing="$missing g++"
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
"$python" -c 'import os, sysconfig as s; os.stat(os.path.join(s.get_path("include"), "Python.h"))' \
    2>/dev/null || missing="$missing python3-dev"
[ -z "$missing" ] && exit 0
# shellcheck disable=SC2086  # names of packages
sh "${0%/*}/apt_get.sh" "${missing# }" $missing && exit 0
echo "insitu: please install$missing (Debian: sudo apt-get install$missing), then run make again" >&2
exit 1
