#!/usr/bin/env bash
# Pin every base image to the current digest of its tag: pin-images.sh FILE...
# The script reads `image: NAME:TAG` in Compose files and `FROM NAME:TAG` in Dockerfiles and queries the registry with skopeo.
# SKOPEO_FLAGS, for example --tls-verify=false, are passed to `skopeo inspect`.
set -euo pipefail
command -v skopeo >/dev/null || { echo "pin-images: skopeo not found; install it: apt-get install skopeo, or brew install skopeo" >&2; exit 1; }

digest_of() {
  local manifest
  # The digest of the list of all platforms, so that the same file works on amd64 and arm64.
  # shellcheck disable=SC2086 # several flags
  manifest=$(mktemp) && skopeo inspect ${SKOPEO_FLAGS:-} --raw "docker://$1" >"$manifest"
  printf 'sha256:%s' "$(sha256sum <"$manifest" | cut -d' ' -f1)"
  rm -f "$manifest"
}

for file in "$@"; do
  for image in $(sed -nE 's/^ *(image:|FROM) +([^ @$]+:[^ @]+)(@sha256:[0-9a-f]+)?( .*)?$/\2/p' "$file" | grep -v '^streamgauge' | sort -u); do
    digest=$(digest_of "$image")
    sed -i -E "s#((image:|FROM) +)$image(@sha256:[0-9a-f]+)?( |\$)#\1$image@$digest\4#" "$file"
    echo "$file: $image@$digest"
  done
done
