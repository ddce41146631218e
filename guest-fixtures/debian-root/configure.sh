# Second stage of a Debian root file system, in the guest itself: what dpkg would have called before it unpacked the
# packages, then all of their own scripts. Ends with status 0 when every package is installed.
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
# Users and groups first: other scripts ask for them.
for script in /var/lib/dpkg/info/base-passwd.preinst /var/lib/dpkg/info/*.preinst; do
  name=${script##*/}
  name=${name%.preinst}
  export DPKG_MAINTSCRIPT_PACKAGE="${name%:*}" DPKG_MAINTSCRIPT_NAME=preinst DPKG_MAINTSCRIPT_ARCH=s390x
  "$script" install || echo "configure: $script failed"
done
unset DPKG_MAINTSCRIPT_PACKAGE DPKG_MAINTSCRIPT_NAME DPKG_MAINTSCRIPT_ARCH
dpkg --configure -a
# For a machine without a network, on whose console only its owner sits: a password that is quickly checked, and no limit of
# a minute for it, which an emulated machine on a busy one may need.
echo root:zmend | chpasswd --crypt-method SHA512
sed -i 's/^LOGIN_TIMEOUT.*/LOGIN_TIMEOUT 0/' /etc/login.defs
dpkg-query -W -f '${db:Status-Status}\n' | while read -r status; do
  [ "$status" = installed ]
done
