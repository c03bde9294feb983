#!/usr/bin/env bash
# Pin every base image to the digest that its tag has now: pin-images.sh FILE...
# Reads `image: NAME:TAG` of Compose files and `FROM NAME:TAG` of Dockerfiles, and asks the registry with skopeo (no engine needed).
# SKOPEO_FLAGS, for example --tls-verify=false, go to `skopeo inspect`.
set -euo pipefail
command -v skopeo >/dev/null || { echo "pin-images: no skopeo: apt-get install skopeo, or brew install skopeo" >&2; exit 1; }

digest_of() {
  local manifest
  # The digest of the whole list of platforms, not of this machine's: the same file serves amd64 and arm64.
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
