#!/bin/sh
# Fetches what a worker needs with the machine's own service account.
#   fetch bundle gs://BUCKET/FILE.tar.gz SHA256   unpacks it to /opt/reprise/bundle
#   fetch secret NAME                             writes /opt/reprise/credential.pem
# Waits and tries again: a fresh machine's network and rights come late.
set -eu
umask 077

metadata=http://metadata.google.internal/computeMetadata/v1

# Reads a value of the machine's metadata.
meta() {
  curl -fsS -H 'Metadata-Flavor: Google' "$metadata/$1"
}

# Reads a URL as the machine's service account; the token stays off command lines.
get() {
  token=$(meta instance/service-accounts/default/token |
    sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p')
  printf 'Authorization: Bearer %s\n' "$token" | curl -fsSL -H @- "$1"
}

fetch_bundle() {
  path=${1#gs://}
  object=$(printf '%s' "${path#*/}" | sed 's|/|%2F|g')
  url="https://storage.googleapis.com/storage/v1/b/${path%%/*}/o/$object?alt=media"
  get "$url" >/opt/reprise/bundle.tar.gz || return 1
  found=$(sha256sum /opt/reprise/bundle.tar.gz | cut -d ' ' -f 1)
  if [ "$found" != "$2" ]; then
    echo "fetch: \`$1\` has the SHA-256 $found, expected $2" >&2
    return 1
  fi
  mkdir -p /opt/reprise/bundle
  tar -xzf /opt/reprise/bundle.tar.gz -C /opt/reprise/bundle --no-same-owner || return 1
  # The worker is another user.
  chmod -R a+rX,go-w /opt/reprise/bundle
}

fetch_secret() {
  project=$(meta project/project-id) || return 1
  url="https://secretmanager.googleapis.com/v1/projects/$project/secrets/$1/versions/latest:access"
  get "$url" | sed -n 's/.*"data": *"\([^"]*\)".*/\1/p' | base64 -d >/opt/reprise/credential.new
  test -s /opt/reprise/credential.new || return 1
  mv /opt/reprise/credential.new /opt/reprise/credential.pem
}

case $1 in
bundle | secret) ;;
*)
  echo "usage: fetch bundle|secret NAME" >&2
  exit 2
  ;;
esac

tries=0
until "fetch_$1" "$2" "${3-}"; do
  tries=$((tries + 1))
  if [ "$tries" -ge 30 ]; then
    echo "fetch: no $1 \`$2\` after $tries tries" >&2
    exit 1
  fi
  sleep 5
done
