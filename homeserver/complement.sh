#!/bin/sh
# Runs Strata as Complement wants a homeserver: named by SERVER_NAME, clients at 8008 over HTTP (where it asks for what servers have
# too), other servers at 8448 with a certificate of
# the authority in /complement/ca, which is the only one that is trusted. It may be run again on the same directory. Complement's own
# README says what it asks for, docs/homeserver.md what the settings do.
set -eu
: "${SERVER_NAME:?the name of the server}"
ca=${COMPLEMENT_CA:-/complement/ca}
dir=${STRATA_DATA_DIR:-/data}
mkdir -p "$dir"

openssl req -new -newkey rsa:2048 -nodes -keyout "$dir/tls.key" -out "$dir/tls.csr" -subj "/CN=$SERVER_NAME" 2>/dev/null
printf 'subjectAltName=DNS:%s\n' "${SERVER_NAME%:*}" >"$dir/tls.ext"
openssl x509 -req -in "$dir/tls.csr" -CA "$ca/ca.crt" -CAkey "$ca/ca.key" -set_serial "$(date +%s)" -days 30 -sha256 \
	-extfile "$dir/tls.ext" -out "$dir/tls.crt" 2>/dev/null

export SSL_CERT_FILE="$ca/ca.crt"
export STRATA_REGISTRATION_SHARED_SECRET=complement STRATA_CLIENT_RATE_LIMITS=false
export STRATA_PASSWORD_HASHING__MEMORY=8 STRATA_PASSWORD_HASHING__PASSES=1
export STRATA_DEFAULT_ROOM_VERSION=11 STRATA_ENABLE_AUTHENTICATED_MEDIA=false
export STRATA_FEDERATION__DESTINATION_MIN_RETRY_INTERVAL=250ms STRATA_FEDERATION__DESTINATION_MAX_RETRY_INTERVAL=2s
exec strata serve --server-name "$SERVER_NAME" --data-dir "$dir" --listen-both "${LISTEN_CLIENTS:-:8008}" --enable-registration \
	--listen "${LISTEN:-:8448}" --tls-cert "$dir/tls.crt" --tls-key "$dir/tls.key" --allow-private
