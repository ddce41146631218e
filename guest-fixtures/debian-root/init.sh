#!/bin/sh
# First program of a guest whose root file system is on an NVMe disk: loads the modules, waits for the disk, mounts it and
# goes over to its init. With stage=configure on the kernel's command line, Debian's packages on it are configured instead
# (once, when the fixture is built), and the machine is switched off.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
busybox --install -s /bin
while read -r module; do
  insmod "/lib/modules/$module" || echo "init: $module was not loaded"
done </lib/modules/order

root=/dev/nvme0n1
for word in $(cat /proc/cmdline); do
  case $word in
  root=*) root=${word#root=} ;;
  esac
done
turns=0
until [ -b "$root" ] && mount -t ext4 "$root" /mnt; do
  turns=$((turns + 1))
  if [ $turns = 60 ]; then
    echo "init: $root is no disk with a root file system"
    poweroff -f
  fi
  sleep 1
done

if [ "$stage" = configure ]; then
  mount -t proc proc /mnt/proc
  mount -t sysfs sysfs /mnt/sys
  mount -t devtmpfs devtmpfs /mnt/dev
  mount -t tmpfs tmpfs /mnt/run
  chroot /mnt /bin/sh -c "$(cat /configure)" && said=done || said=failed
  umount /mnt/run /mnt/dev /mnt/sys /mnt/proc
  umount /mnt && echo "configure: $said"
  poweroff -f
fi

mount --move /proc /mnt/proc
mount --move /sys /mnt/sys
mount --move /dev /mnt/dev
exec switch_root /mnt /sbin/init
