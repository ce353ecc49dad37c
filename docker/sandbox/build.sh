#!/bin/sh
# Build the image that contributed code runs in. Usage: docker/sandbox/build.sh [BASE [TAG]]
# BASE is any image with python3 (3.11 to 3.13); without a registry, make one first with
# docker/sandbox/debootstrap-base.sh and pass practicum-base:bookworm.
# TAG is practicum-sandbox:latest; name others, such as practicum-sandbox:3.13, to offer several
# Pythons, and list them all in SANDBOX_IMAGES.
set -eu
cd "$(dirname "$0")"
exec docker build --quiet --network none --tag "${2:-practicum-sandbox:latest}" \
    ${1:+--build-arg "BASE=$1"} .
