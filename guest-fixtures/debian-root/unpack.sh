#!/bin/sh
# First stage of a Debian root file system for s390x, on any machine, as root or under fakeroot: unpacks the archives into
# ROOT, writes them down for dpkg as unpacked and not configured, and makes IMAGE of it. Formats: dpkg's status and info
# files (dpkg --admindir), deb-conffiles(5).
set -eu
root=$1
image=$2
size=$3
shift 3

# The merged layout that Debian has since release 12; archives still name both folders.
for folder in bin lib sbin; do
  mkdir -p "$root/usr/$folder"
  ln -s "usr/$folder" "$root/$folder"
done
database=$root/var/lib/dpkg
info=$database/info
mkdir -p "$info" "$database/updates" "$database/triggers"
echo 1 >"$info/format"

for archive; do
  dpkg-deb --fsys-tarfile "$archive" | tar -C "$root" -xp --keep-directory-symlink
  name=$(dpkg-deb --field "$archive" Package)
  if [ "$(dpkg-deb --field "$archive" Multi-Arch)" = same ]; then
    name=$name:$(dpkg-deb --field "$archive" Architecture)
  fi
  dpkg-deb --control "$archive" "$root/control"
  sed '/^Package:/a Status: install ok unpacked' "$root/control/control" >>"$database/status"
  if [ -e "$root/control/conffiles" ]; then
    echo "Conffiles:"
    grep '^/' "$root/control/conffiles" | while read -r file; do
      sum=$(md5sum <"$root$file")
      echo " $file ${sum%% *}"
    done
  fi >>"$database/status"
  echo >>"$database/status"
  dpkg-deb --fsys-tarfile "$archive" | tar -t --quoting-style=literal |
    sed 's,^\.,,; s,/$,,; s,^$,/.,' >"$info/$name.list"
  rm "$root/control/control"
  for file in "$root/control/"*; do
    [ -e "$file" ] && mv "$file" "$info/$name.${file##*/}"
  done
  rmdir "$root/control"
done

# What maintainer scripts call before the package that sets it up has been configured.
[ -e "$root/usr/bin/awk" ] || ln -s mawk "$root/usr/bin/awk"
echo zmend >"$root/etc/hostname"
echo "127.0.0.1 localhost zmend" >"$root/etc/hosts"
echo "/dev/nvme0n1 / ext4 defaults 0 0" >"$root/etc/fstab"
# An emulated machine on a busy one may need minutes for what takes others a second.
mkdir -p "$root/etc/systemd/system.conf.d" "$root/etc/systemd/system"
cat >"$root/etc/systemd/system.conf.d/patient.conf" <<'END'
[Manager]
DefaultTimeoutStartSec=30min
DefaultDeviceTimeoutSec=30min
END
# Nothing for them to do: there is one console and no network, volume manager or graphics.
for unit in getty-static.service e2scrub_reap.service apt-daily.timer apt-daily-upgrade.timer; do
  ln -s /dev/null "$root/etc/systemd/system/$unit"
done

mke2fs -q -t ext4 -L debian -d "$root" "$image" "$size"
