#!/bin/sh
# Installs the gateways that weft is compared with, each into its own environment DIR/NAME.
#
#     benchmarks/peers.sh DIR [NAME...]       (all by default; PYTHON=python3.11)
#
# nginx, which sessions.py uses for round robin if it finds it, comes from the system's packages.
set -eu

DIR=${1:?"usage: $0 DIR [NAME...]"}
shift
PYTHON=${PYTHON:-python3.11}
[ $# -gt 0 ] || set -- vllm-router smg sglang-router litellm

for name in "$@"; do
    case $name in
        vllm-router) what=vllm-router==0.1.16 ;;
        smg) what=smg==1.13.0 ;;
        sglang-router) what=sglang-router==0.3.2 ;;
        litellm) what='litellm[proxy]==1.106.2' ;;
        *) echo "$0: no peer is called $name" >&2; exit 2 ;;
    esac
    echo "installing $what into $DIR/$name" >&2
    "$PYTHON" -m venv "$DIR/$name"
    "$DIR/$name/bin/python" -m pip install -qq --disable-pip-version-check "$what"
done
