#!/bin/sh
# First program of the Linux fixtures: mounts what programs expect, loads the modules, and starts what the
# kernel's command line names as run=PROGRAM (recovery), else a shell on the console.
# Another home than the root, which newer shells would show as "~".
export HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
busybox --install -s /bin
if [ -n "$(ls /sys/bus/pci/devices 2>/dev/null)" ]; then
  while read -r module; do
    insmod "/lib/modules/$module" || echo "init: $module was not loaded"
  done </lib/modules/order
fi
read -r consoles </sys/class/tty/console/active
console=/dev/${consoles##* }
if [ -x "/bin/${run:=sh}" ] && [ "$run" != sh ]; then
  exec "$run" <"$console" >"$console" 2>&1
fi
exec setsid -c sh -i <"$console" >"$console" 2>&1
