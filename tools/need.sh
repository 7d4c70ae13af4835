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
become=""
[ "$(id -u)" = 0 ] || become="sudo -n"
if command -v apt-get >/dev/null 2>&1 && $become true 2>/dev/null; then
    echo "installing$missing with apt-get"
    $become apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive $become apt-get install -y -qq --no-install-recommends $missing \
            >/dev/null && exit 0
fi
echo "insitu: please install$missing (Debian: sudo apt-get install$missing), then run make again" >&2
exit 1
