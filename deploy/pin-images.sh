#!/bin/sh
# Writes the digest of each image's tag behind it, in the files that are given: name:tag becomes name:tag@sha256:...
# A registry may answer a tag with another image tomorrow, a digest never.
set -eu
images=$(sed -n 's/^[^#]*\(docker\.io\/[a-z0-9./-]*:[A-Za-z0-9._-]*\).*/\1/p' "$@" | sort -u)
test -n "$images" || { echo "no image found in $*" >&2; exit 1; }
for image in $images; do
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image") ||
        { echo "cannot read the digest of $image: check that docker runs, and the network" >&2; exit 1; }
    case $digest in sha256:????????????????????????????????????????????????????????????????) ;;
        *) echo "$image: '$digest' is not a digest" >&2; exit 1 ;;
    esac
    sed -i -E "s#($image)(@sha256:[0-9a-f]+)?([^A-Za-z0-9._@-]|\$)#\\1@$digest\\3#" "$@"
    echo "$image@$digest"
done
