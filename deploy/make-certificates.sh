#!/bin/sh
# Certificates for TLS between API and coordinator: each shows the other one that the same authority signed.
#
#   deploy/make-certificates.sh FOLDER [NAME …]
#
# NAMEs are the hosts and addresses that the API knows coordinators by; localhost and 127.0.0.1 are always among them. Writes ca.pem, and for
# `coordinator` and `api` each a .pem and a .key that only their owner may read. What is there and good for 30 more days is left alone, so
# running it at every start is fine; FORCE=1 makes all of it anew. The authority's key is not kept: nobody can sign another certificate with it.
set -eu

days=825
folder=${1:?a folder for the certificates}
shift
umask 077
mkdir -p "$folder"
cd "$folder"

names=DNS:localhost,IP:127.0.0.1
for name in "$@"; do
  case $name in
    *[!0-9.]*) names=$names,DNS:$name ;;
    *) names=$names,IP:$name ;;
  esac
done

is_good() {
  openssl x509 -in "$1.pem" -noout -checkend $((30 * 86400)) >/dev/null 2>&1 && [ -r "$1.key" ] || return 1
  openssl verify -CAfile ca.pem "$1.pem" >/dev/null 2>&1
}

if [ "${FORCE:-}" != 1 ] && is_good coordinator && is_good api && [ "$(cat names 2>/dev/null)" = "$names" ]; then
  echo "The certificates in $folder are good."
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# openssl tells its progress where errors go: shown only where it fails.
quietly() {
  "$@" 2>"$work/log" || {
    cat "$work/log" >&2
    exit 1
  }
}

new_key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc'
# shellcheck disable=SC2086 # $new_key is several words.
quietly openssl req -x509 $new_key -days $days -subj /CN=ScaiMind -addext basicConstraints=critical,CA:true,pathlen:0 \
  -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$work/ca.key" -out "$work/ca.pem"

# sign NAME USE SUBJECT-ALTERNATIVE-NAMES
sign() {
  # shellcheck disable=SC2086
  quietly openssl req -new $new_key -subj "/CN=$1" -keyout "$work/$1.key" -out "$work/$1.csr"
  printf 'basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\nsubjectAltName=%s\n' "$2" "$3" >"$work/$1.ext"
  quietly openssl x509 -req -in "$work/$1.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -days $days -extfile "$work/$1.ext" -out "$work/$1.pem"
}
sign coordinator serverAuth "$names"
sign api clientAuth DNS:api

for name in ca.pem coordinator.pem coordinator.key api.pem api.key; do cp "$work/$name" .; done
echo "$names" >names
echo "Made certificates in $folder for $names, good for $days days."
