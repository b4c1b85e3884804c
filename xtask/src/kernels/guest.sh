#!/bin/sh
# Process 1 of a guest once the root is mounted: loads the card's driver, runs the checks, switches the guest off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root
exec </dev/null >/dev/ttyS0 2>&1
echo "BOOTED $(uname -r)"
for word in $(cat /proc/cmdline); do
    case $word in
    vm.driver=*) driver=${word#*=} ;;
    vm.guest=*) guest=${word#*=} ;;
    vm.monitord=*) export MONITORD="${word#*=}" ;;
    vm.checks=*) checks=$(echo "${word#*=}" | tr , ' ') ;;
    esac
done
hostname guest
ip link set lo up
modprobe tun
[ -n "${driver:-}" ] && modprobe "$driver"
# shellcheck disable=SC2086
RUST_BACKTRACE=0 "$guest" $checks || echo "CHECKS FAILED"
dmesg | grep -E 'WARNING:|Oops|BUG:|general protection' && dmesg | tail -60
echo "END"
echo o >/proc/sysrq-trigger
while :; do sleep 1; done
