#!/bin/sh
# Make practicum-base:SUITE from Debian packages, for machines without an image registry.
# Needs root and debootstrap. Usage: docker/sandbox/debootstrap-base.sh [SUITE] [MIRROR]
# SUITE is bookworm (Python 3.11, the default) or trixie (Python 3.13).
set -eu
suite=${1:-bookworm}
tag=practicum-base:$suite
recipe=2 # raise it when what is in the image changes

made=$(docker image inspect --format '{{index .Config.Labels "practicum.recipe"}}' "$tag" \
    2>/dev/null || true)
if [ "$made" = "$recipe" ]; then
    echo "$tag is already there"
    exit 0
fi
for tool in debootstrap docker tar; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: install it" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "debootstrap needs root: run this with sudo" >&2; exit 1; }

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
trap 'exit 1' INT TERM
# The mirror this machine already uses, unless one is named.
mirror=${2:-$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) [a-z]* main.*/\2/p;s/^URIs: *//p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)}
# The headers are for C extensions, which a build sandbox compiles with a compiler of its own.
debootstrap --variant=minbase \
    --include=python3,libpython3-dev,ca-certificates,libstdc++6,libgomp1,zlib1g \
    "$suite" "$tree" ${mirror:+"$mirror"} >"$tree.log" 2>&1 \
    || { tail -n 20 "$tree.log" >&2; rm -f "$tree.log"; exit 1; }
rm -f "$tree.log"
rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/usr/share/doc \
    "$tree"/usr/share/man "$tree"/usr/share/locale "$tree"/usr/lib/python3*/config-*
find "$tree"/usr/lib -name '*.a' -delete
tar -C "$tree" -c . | docker import --change "LABEL practicum.recipe=$recipe" - "$tag" >/dev/null
echo "made $tag"
