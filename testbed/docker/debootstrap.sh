#!/bin/sh
# Makes the peers' image where no registry can be reached: the same Debian and
# the same packages as the Dockerfile, by debootstrap and docker import.
#	testbed/docker/debootstrap.sh IMAGE   (root; MIRROR= for another one)
set -eu
image=$1
here=$(cd "$(dirname "$0")" && pwd)
mirror=${MIRROR:-http://deb.debian.org/debian}

command -v debootstrap >/dev/null || { echo "debootstrap.sh: please install debootstrap" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "debootstrap.sh: needs root" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
include=$(paste -s -d , "$here/packages")
if ! debootstrap --variant=minbase --include="$include" bookworm "$work/root" "$mirror" >"$work/log" 2>&1; then
	tail -n 20 "$work/log" "$work/root/debootstrap/debootstrap.log" >&2 || true
	exit 1
fi
rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/* \
	"$work"/root/usr/share/doc/* "$work"/root/usr/share/man/* "$work"/root/usr/share/locale/*
tar -C "$work/root" --numeric-owner --exclude=./dev/* -c . | docker import - "$image"
