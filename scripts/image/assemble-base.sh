#!/usr/bin/env bash
# scripts/image/assemble-base.sh NAME: makes a stand-in for the image node:24-bookworm-slim where no registry of images can be reached, from Debian's packages
# and npm's: the same distribution, Node, npm and user. Needs root, buildah and debootstrap. It stays in buildah's storage as NAME.
set -euo pipefail
name=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$folder/root
debootstrap --variant=minbase --include=ca-certificates bookworm "$root" http://deb.debian.org/debian >"$folder/log" 2>&1 || { tail -n 20 "$folder/log" >&2; exit 1; }
# As Debian's own slim images: without caches, lists and documents, but with licences.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
find "$root/usr/share/doc" -type f ! -name copyright -delete
rm -rf "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/usr/share/locale/*
# Sources and authorities of this machine, which may reach its registries in its own way.
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
printf 'deb http://deb.debian.org/debian bookworm main\ndeb http://deb.debian.org/debian bookworm-updates main\n' >"$root/etc/apt/sources.list"
architecture=$(node -p 'process.arch')
npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$folder/node" "node-linux-$architecture@24" npm@11
cp "$folder"/node/node_modules/node-linux-*/bin/node "$root/usr/local/bin/node"
mkdir -p "$root/usr/local/lib/node_modules" "$root/usr/local/etc"
cp -r "$folder/node/node_modules/npm" "$root/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"
echo 'cafile=/etc/ssl/certs/ca-certificates.crt' >"$root/usr/local/etc/npmrc"
chroot "$root" groupadd --gid 1000 node
chroot "$root" useradd --uid 1000 --gid node --shell /bin/bash --create-home node
container=$(buildah from scratch)
buildah add --quiet "$container" "$root" / >/dev/null
buildah config --cmd node --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
buildah commit --quiet --rm "$container" "$name" >/dev/null
echo "assembled $name: Debian $(cat "$root/etc/debian_version"), Node $("$root/usr/local/bin/node" --version)"
