#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# apt_get.sh WHAT PACKAGE…: installs Debian packages where apt-get may be used; fails elsewhere.
what=$1
shift
become=""
[ "$(id -u)" = 0 ] || become="sudo -n"
command -v apt-get >/dev/null 2>&1 && $become true 2>/dev/null || exit 1
echo "installing $what with apt-get"
$become apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive $become apt-get install -y -qq --no-install-recommends "$@" >/dev/null
