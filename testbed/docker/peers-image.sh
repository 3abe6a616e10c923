#!/bin/sh
# Makes the peers' image, unless it is here: from the Dockerfile, or by
# debootstrap where no registry can be reached.
set -eu
cd "$(dirname "$0")"
version=$(cat Dockerfile packages | sha256sum | cut -c 1-12)
if ! docker image inspect "pinhole-peers:$version" >/dev/null 2>&1; then
	docker build -q -t "pinhole-peers:$version" . ||
		{ echo "no registry: by debootstrap, which takes two minutes"; ./debootstrap.sh "pinhole-peers:$version"; }
fi
docker tag "pinhole-peers:$version" pinhole-peers:latest
