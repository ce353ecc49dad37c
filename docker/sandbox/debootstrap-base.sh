#!/bin/sh
# Make practicum-base:bookworm from Debian packages, for machines without an image registry.
# Needs root and debootstrap. Usage: docker/sandbox/debootstrap-base.sh [MIRROR]
set -eu
tag=practicum-base:bookworm

if docker image inspect "$tag" >/dev/null 2>&1; then
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
mirror=${1:-$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) bookworm main.*/\2/p;s/^URIs: *//p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)}
debootstrap --variant=minbase \
    --include=python3,ca-certificates,libstdc++6,libgomp1,zlib1g \
    bookworm "$tree" ${mirror:+"$mirror"} >"$tree.log" 2>&1 \
    || { tail -n 20 "$tree.log" >&2; rm -f "$tree.log"; exit 1; }
rm -f "$tree.log"
rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/usr/share/doc \
    "$tree"/usr/share/man "$tree"/usr/share/locale
tar -C "$tree" -c . | docker import - "$tag" >/dev/null
echo "made $tag"
