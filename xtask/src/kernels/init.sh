#!/bin/busybox sh
# Process 1 of a guest: mounts the host's root (read-only, over 9p) with a tmpfs on top, then runs vm.run= of the command line.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
while read -r module; do $b insmod "/modules/$module" || echo "init: cannot load $module"; done </modules/order
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose host /ro || { echo "init: no root"; $b poweroff -f; }
$b mount -t tmpfs -o size=90% tmpfs /rw
$b mkdir /rw/upper /rw/work
$b mount -t overlay -o lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work overlay /root || { echo "init: no overlay"; $b poweroff -f; }
for word in $($b cat /proc/cmdline); do
    case $word in
    vm.modules=*) modules=${word#*=} ;;
    vm.run=*) run=${word#*=} ;;
    esac
done
version=$($b uname -r)
$b mkdir -p "/root/lib/modules/$version" /root/run /root/sys/fs
$b mount --bind "/root$modules/$version" "/root/lib/modules/$version"
for directory in proc sys dev; do
    $b mkdir -p /root/$directory
    $b mount --move /$directory /root/$directory
done
$b mount -t tmpfs tmpfs /root/run
$b mount -t tmpfs tmpfs /root/tmp
$b mkdir -p /root/dev/pts /root/dev/shm
$b mount -t devpts devpts /root/dev/pts
$b mount -t tmpfs tmpfs /root/dev/shm
$b mount -t bpf bpf /root/sys/fs/bpf
$b mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
exec $b switch_root /root /bin/sh "$run"
