#!/bin/sh
# Work for a guest whose PCI functions break: a file system on each NVMe disk, and files that are written with
# fsync, read back past the page cache and compared. What a disk has acknowledged is held against it until the end;
# what it refuses is tried again while the disk is there. A shutdown signal (SCLP signal quiesce) ends it: every file
# is read again, one report per function is logged ("report fid=... state=... rounds=... checked=... corrupt=...
# refused=..."), the machine is switched off.
files=8
bytes=65536
# Refusals of one file in a row before its disk is given up: a kernel that recovers a function refuses what comes
# meanwhile, and that takes it a second or two.
tries=10

say() { echo "<5>recovery: $*" >/dev/kmsg; }

# Fails on an I/O error; else counts a comparison, and a difference.
compare() { # fid, file, sum
  found=$(set -o pipefail && dd if="$2" bs=64k iflag=direct 2>/dev/null | sha256sum) || return 1
  size=$(wc -c <"$2") || return 1
  [ "$size" = $bytes ] || return 1
  read -r checked corrupt <"/run/$1/counts"
  if [ "$found" != "$3" ]; then
    corrupt=$((corrupt + 1))
    say "fid=$1 $2 is corrupt"
  fi
  echo "$((checked + 1)) $corrupt" >"/run/$1/counts"
}

# A file system that stays mounted holds what is left of its disk, and the kernel would not take another for it.
let_go() { # fid, why
  echo failed >"/run/$1/state"
  umount -l "/mnt/$1" 2>/dev/null
  say "fid=$1 $2; unmounted"
}

# Counts a refusal. Fails when there is no point in another try: the disk has gone, or has refused too often.
again() { # fid, disk, failures in a row
  read -r refused <"/run/$1/refused"
  echo "$((refused + 1))" >"/run/$1/refused"
  [ -b "$2" ] && [ "$3" -lt $tries ] && sleep 1
}

# One disk: rounds of write, fsync, read back, until the end or until the disk is given up.
work() { # fid, disk
  round=0
  while [ ! -e /run/stop ]; do
    round=$((round + 1))
    echo "$round" >"/run/$1/round"
    file=/mnt/$1/$((round % files))
    # Every round's data is another's nowhere.
    yes "function $1 round $round" | dd of="/run/$1/data" bs=$bytes count=1 iflag=fullblock 2>/dev/null
    sum=$(sha256sum <"/run/$1/data")
    # Until it is acknowledged, a file may hold anything.
    rm -f "/run/$1/sums/$((round % files))"
    failures=0
    until dd if="/run/$1/data" of="$file" bs=64k conv=fsync 2>"/run/$1/error"; do
      failures=$((failures + 1))
      [ $failures = 1 ] && say "fid=$1 round $round write refused: $(tail -n 1 "/run/$1/error")"
      again "$1" "$2" $failures && continue
      let_go "$1" "round $round write failed: $(tail -n 1 "/run/$1/error")"
      return
    done
    echo "$sum" >"/run/$1/sums/$((round % files))"
    failures=0
    until compare "$1" "$file" "$sum"; do
      failures=$((failures + 1))
      again "$1" "$2" $failures && continue
      let_go "$1" "round $round read failed"
      return
    done
    [ $((round % 4)) = 0 ] && say "fid=$1 round $round"
  done
  for sum in "/run/$1/sums/"*; do
    [ -e "$sum" ] || continue
    failures=0
    until compare "$1" "/mnt/$1/${sum##*/}" "$(cat "$sum")"; do
      failures=$((failures + 1))
      again "$1" "$2" $failures && continue
      echo failed >"/run/$1/state"
      break
    done
  done
  : >"/run/$1/done"
}

# A disk that was not there before, or is there again with what was written to it.
begin() { # fid, disk, "again" or nothing
  if [ -n "$3" ]; then
    umount -l "/mnt/$1" 2>/dev/null
  else
    if ! mke2fs "$2" >/dev/null 2>"/run/$1/error"; then
      say "fid=$1 mke2fs failed"
      echo failed >"/run/$1/state"
      return
    fi
  fi
  if ! mount -t ext2 "$2" "/mnt/$1" 2>"/run/$1/error"; then
    say "fid=$1 mount failed: $(cat "/run/$1/error")"
    echo failed >"/run/$1/state"
    return
  fi
  if [ -n "$3" ]; then
    # What was acknowledged before is there. Nothing more may be written: without a journal, the file system does not
    # know any more which of its blocks are taken, and there is no e2fsck here.
    for sum in "/run/$1/sums/"*; do
      [ -e "$sum" ] || continue
      failures=0
      until compare "$1" "/mnt/$1/${sum##*/}" "$(cat "$sum")"; do
        failures=$((failures + 1))
        again "$1" "$2" $failures && continue
        # Nothing can be told of what a disk holds that does not answer.
        dd if="$2" of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null || break 2
        say "fid=$1 ${sum##*/} is lost"
        break
      done
      rm -f "$sum"
    done
    umount "/mnt/$1"
    mke2fs "$2" >/dev/null 2>&1 && mount -t ext2 "$2" "/mnt/$1"
  fi
  echo ok >"/run/$1/state"
  say "fid=$1 at work on $2${3:+ again}"
  work "$1" "$2"
}

# NVMe disks: FID of the function, device, and the kernel's number of the disk, which tells a returned one apart.
disks() {
  for function in /sys/bus/pci/devices/*; do
    [ -e "$function/function_id" ] || continue
    read -r fid <"$function/function_id"
    for disk in "$function"/nvme/*/nvme*n*; do
      name=${disk##*/}
      [ -b "/dev/$name" ] && echo "${fid#0x} /dev/$name $(cat "/sys/block/$name/diskseq")"
    done
  done
}

# What an operator does with a function whose driver gave it up, as nvme does when an error comes while it probes: the
# kernel takes it out, resets it and finds it again. Three times at most.
recover() {
  for function in /sys/bus/pci/devices/*; do
    [ "$(cat "$function/class" 2>/dev/null)" = 0x010802 ] || continue
    [ -e "$function/driver" ] && continue
    read -r fid <"$function/function_id" || continue
    fid=${fid#0x}
    tries=$(cat "/run/tries-$fid" 2>/dev/null)
    [ "${tries:-0}" -lt 3 ] || continue
    echo $((${tries:-0} + 1)) >"/run/tries-$fid"
    say "fid=$fid has no driver: reset and found again"
    echo 1 >"$function/recover"
  done 2>/dev/null
}

# What an operator does with a function that its driver has given up for good: the kernel takes it out, and refuses what
# still waits for it. Nothing else ends such requests: nvme holds them as long as the function is in error.
take_out() {
  # Each message once: numbers of controllers are given out again.
  dmesg -c | grep -o 'nvme nvme[0-9]*: failure state error' >/run/failures || return
  while read -r _ controller _; do
    for function in /sys/bus/pci/devices/*; do
      [ -e "$function/nvme/${controller%:}" ] || continue
      read -r fid <"$function/function_id" || continue
      say "fid=${fid#0x} failed for good: taken out"
      echo 1 >"$function/remove"
    done
  done </run/failures 2>/dev/null
}

report() { # fid
  read -r checked corrupt <"/run/$1/counts"
  read -r round <"/run/$1/round"
  read -r state <"/run/$1/state"
  read -r refused <"/run/$1/refused"
  # A worker that waits for its disk for ever: nothing was lost that was acknowledged, and nothing comes any more.
  [ "$state" = ok ] && [ ! -e "/run/$1/done" ] && state=stalled
  say "report fid=$1 state=$state rounds=${round:-0} checked=$checked corrupt=$corrupt refused=$refused"
}

# Looks after the disks until it is told to stop, and ends the machine.
operate() {
  while [ ! -e /run/stop ]; do
    recover
    take_out
    disks >/run/disks
    while read -r fid disk number; do
      [ -e "/run/$fid/worker" ] && kill -0 "$(cat "/run/$fid/worker")" 2>/dev/null && continue
      # One that failed is begun again on a new disk only.
      [ "$(cat "/run/$fid/disk" 2>/dev/null)" = "$number" ] && continue
      again=
      [ -d "/run/$fid" ] && again=again
      mkdir -p "/run/$fid/sums" "/mnt/$fid"
      if [ -z "$again" ]; then
        echo "0 0" >"/run/$fid/counts"
        echo 0 >"/run/$fid/round"
        echo 0 >"/run/$fid/refused"
        echo ok >"/run/$fid/state"
      fi
      echo "$number" >"/run/$fid/disk"
      begin "$fid" "$disk" "$again" </dev/null &
      echo $! >"/run/$fid/worker"
    done </run/disks
    sleep 1
  done
  # Workers end by themselves; one that has not moved for many turns waits for a disk that never answers.
  still=0
  seen=
  while [ $still -lt 15 ]; do
    take_out
    left=
    for folder in /run/*/; do
      [ -e "$folder/done" ] || [ "$(cat "$folder/state")" != ok ] || left=1
    done
    [ -z "$left" ] && break
    now=$(cat /run/*/counts /run/*/round /run/*/refused)
    [ "$now" = "$seen" ] && still=$((still + 1)) || still=0
    seen=$now
    sleep 1
  done
  for folder in /run/*/; do
    [ -d "$folder" ] || continue
    fid=${folder%/}
    report "${fid##*/}"
  done
  # Without a last sync, which would wait for such a disk.
  poweroff -nf
}

mkdir -p /run
mount -t tmpfs tmpfs /run
echo on >/proc/sys/kernel/printk_devkmsg
echo 8 >/proc/sys/kernel/printk
# Ctrl-Alt-Del, which a shutdown signal stands for, comes to the first process as a signal. That one does nothing else but
# wait: a shell of busybox 1.38 that has run a trap spins for ever in its next `read`.
echo 0 >/proc/sys/kernel/ctrl-alt-del
trap ': >/run/stop' INT
say "ready, $(disks | wc -l) disks, $(nproc) CPUs"
operate &
operator=$!
while kill -0 $operator 2>/dev/null; do wait; done
