#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# fetch.sh DIRECTORY: Debian's arm64 kernel (DIRECTORY/vmlinuz) and static busybox (DIRECTORY/busybox), once.
# apt gets and verifies them in a root of its own: the host's packages and package lists stay as they are.
set -euo pipefail

release=bookworm
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
directory=$1

die() {
	printf 'the stories with a Linux need %s\n' "$*" >&2
	exit 1
}

[ ! -e "$directory/busybox" ] || [ ! -e "$directory/vmlinuz" ] || exit 0
for command in apt-get apt-cache dpkg-deb; do
	command -v $command >/dev/null || die "$command, by which Debian's kernel is fetched"
done
[ -e $keyring ] || die "$keyring: apt-get install debian-archive-keyring"

mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
apt=$directory/apt
rm -rf "$apt"
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/packages"
: >"$apt/status"
cat >"$apt/sources.list" <<END
deb [signed-by=$keyring target=Packages] http://deb.debian.org/debian $release main
deb [signed-by=$keyring target=Packages] http://deb.debian.org/debian-security $release-security main
END
# Read last: proxies are the host's, commands after an update are not run.
cat >"$apt/apt.conf" <<END
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "root";
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
Acquire::Retries "2";
END

# quietly COMMAND...: what it says goes to a file, for who asks what was wrong.
quietly() { "$@" >>"$apt/log.txt" 2>&1; }

# unpack PACKAGE FILE...: files of a package, below $apt/root.
unpack() {
	dpkg-deb --fsys-tarfile "$apt/packages/$1"_*.deb | tar -x -C "$apt/root" --wildcards "${@:2}"
}

echo "fetching Debian's arm64 kernel and busybox (36 MB) to $directory"
quietly apt-get -c "$apt/apt.conf" update --error-on=any ||
	die "Debian's package lists for arm64 from http://deb.debian.org, which apt-get did not get; see $apt/log.txt"
kernel=$(apt-cache -c "$apt/apt.conf" depends linux-image-cloud-arm64 2>>"$apt/log.txt" |
	sed -n 's/^ *Depends: \(linux-image-.*\)$/\1/p')
[ -n "$kernel" ] || die "Debian's package linux-image-cloud-arm64, which $release does not have"
for package in "$kernel" busybox-static; do
	(cd "$apt/packages" && quietly apt-get -c "$apt/apt.conf" download "$package") ||
		die "Debian's package $package for arm64, which apt-get did not get; see $apt/log.txt"
done

mkdir "$apt/root"
unpack "$kernel" './boot/vmlinuz-*'
unpack busybox-static ./bin/busybox
mv "$apt"/root/boot/vmlinuz-* "$directory/vmlinuz"
mv "$apt/root/bin/busybox" "$directory/busybox"
rm -rf "$apt"
echo "fetched $kernel"
